// The course of a training, whatever it is that learns: steps, measurements and saves, until the
// last step, until nothing gets better, or until it is to stop.
#ifndef DUET_TRAINER_RUN_TRAINING_LOOP_H_
#define DUET_TRAINER_RUN_TRAINING_LOOP_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "trainer/run/training_state.h"

namespace trainer {

struct TrainingLoop {
  std::int64_t steps = 0;
  // Evaluations without a better score that end the training; 0: none do.
  int patience = 0;
  const char* score = "AP";                 // what shall become better
  absl::Duration save_every;                // at most so much is lost
  std::function<bool()> stop_requested;     // asked after every step
  std::function<bool()> evaluation_is_due;  // asked before every step and after the last one
  std::function<absl::Status()> step;       // counts itself in the state
  std::function<absl::Status()> evaluate;   // Cancelled if it was stopped in the middle
  std::function<absl::Status()> save;
};

// From where `state` is, which the functions of `loop` move. A sentence: how it ended. Cancelled if
// it was stopped, with the state saved; other errors are those of the functions, and leave what was
// saved last.
absl::StatusOr<std::string> RunLoop(const TrainingLoop& loop, const RunState& state);

// That the training in this folder was finished before: what is shown, not logged.
boost::json::object FinishedAlready(const std::string& folder);

// Counts batches that nothing could be learned from, since the arithmetic gave infinity or NaN.
class SkippedBatches {
 public:
  static constexpr int kMostInARow = 10;

  // `why` names the step. The event to be logged; OutOfRange if there were too many in a row.
  absl::StatusOr<boost::json::object> Add(const std::string& why, RunState* state);
  void Learned() { in_a_row_ = 0; }

 private:
  int in_a_row_ = 0;
};

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_TRAINING_LOOP_H_
