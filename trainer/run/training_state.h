// state.pth: where a training is, as one file that is complete or not there, so that whatever
// happens to the process, what was saved last can be gone on from.
#ifndef DUET_TRAINER_RUN_TRAINING_STATE_H_
#define DUET_TRAINER_RUN_TRAINING_STATE_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>

#include "checkpoint/checkpoint.h"

namespace trainer {

// What the run itself has to remember, besides the weights and the optimizer.
struct RunState {
  std::int64_t step = 0;            // how many are done
  std::int64_t evaluated_step = 0;  // after how many the last evaluation was; 0: none
  double best_ap = -1;              // negative: none yet
  std::int64_t best_step = 0;
  int evaluations_since_best = 0;
  std::int64_t skipped_batches =
      0;                        // that were no steps, since the arithmetic gave infinity or NaN
  std::uint64_t log_bytes = 0;  // of log.jsonl, which belong to these steps
  bool bf16 = false;            // what --precision=auto has chosen
  double seconds = 0;           // that the training took so far

  friend bool operator==(const RunState&, const RunState&) = default;
};

struct SavedState {
  RunState run;
  checkpoint::StateDict tensors;  // into the file, which they keep mapped
};

// `tensors`: the trainer's, under any names but "run".
absl::Status SaveState(const std::string& path, const RunState& run,
                       const checkpoint::StateDict& tensors);

// DataLoss, with the path, if it is not such a file.
absl::StatusOr<SavedState> LoadState(const std::string& path);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_TRAINING_STATE_H_
