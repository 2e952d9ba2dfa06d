// A segmenter's training from files to files: what `duet-train segmenter --data=… --images=…
// --from=… --out=…` does. Prompt encoder and mask decoder learn from the objects' masks; the image
// encoder stays as it is.
#ifndef DUET_TRAINER_SEGMENTER_TUNING_RUN_H_
#define DUET_TRAINER_SEGMENTER_TUNING_RUN_H_

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <string>

#include "serving/flags.h"
#include "trainer/run/display.h"
#include "trainer/run/training_data.h"

namespace trainer {

struct TuningRunOptions {
  DataOptions data;
  std::string from;                // the checkpoint that is tuned
  std::string out;                 // run_folder.h
  std::string report_of = "best";  // or "last": which model report.md describes
  int epochs = 20;
  int batch = 4;
  double learning_rate = 1e-4;
  int corrections = 4;
  int patience = 5;
  int save_minutes = 5;
  int threads = 0;
  std::uint64_t seed = 1;
  bool resume = true;
  bool json = false;
};

void AddFlags(TuningRunOptions* options, serving::FlagTable* flags);

// Tunes, or goes on with the tuning in the folder, until it is finished, and writes its report. OK
// if it was finished already. Cancelled, saying how to go on, after `stop_requested` said true. All
// else is an error that names the flag or the file, what was found and what is needed; what was
// written before stays usable.
absl::Status RunTuning(const TuningRunOptions& options, Display& display,
                       const std::function<bool()>& stop_requested);

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_TUNING_RUN_H_
