// A training from files to files: what `duet-train --data=… --images=… --from=… --out=…` does.
#ifndef DUET_TRAINER_RUN_RUN_H_
#define DUET_TRAINER_RUN_RUN_H_

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "serving/flags.h"
#include "trainer/run/display.h"
#include "trainer/run/training_data.h"
#include "trainer/run/training_plan.h"

namespace trainer {

struct RunOptions {
  DataOptions data;
  std::string from;  // the checkpoint that is fine-tuned
  std::string out;   // run_folder.h
  PlanChoices plan;
  // Numbers go into `plan`.
  std::string frozen_stages = "auto";
  int plain_epochs = -1;
  int accumulation = 1;
  int input_size = 0;  // side of the square that is learned from; 0: the model's
  int patience = 10;
  int save_minutes = 5;
  int threads = 0;
  std::string device = "cpu";
  std::string precision = "fp32";
  std::uint64_t seed = 1;
  std::string report_of = "best";  // or "last": which model report.md describes
  bool resume = true;
  bool json = false;
};

// Whether images can be learned from in squares of this side, in pixels.
bool IsTrainingSide(int side);

void AddFlags(RunOptions* options, serving::FlagTable* flags);

// Trains, or goes on with the training in the folder, until it is finished, and writes its report.
// OK if it was finished already. Cancelled, saying how to go on, after `stop_requested` said true.
// All else is an error that names the flag or the file, what was found and what is needed; what was
// written before stays usable.
absl::Status RunTraining(const RunOptions& options, Display& display,
                         const std::function<bool()>& stop_requested);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_RUN_H_
