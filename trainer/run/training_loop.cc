#include "trainer/run/training_loop.h"

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "trainer/run/run_log.h"

namespace trainer {

absl::StatusOr<std::string> RunLoop(const TrainingLoop& loop, const RunState& state) {
  absl::Time saved = absl::Now();
  const auto save = [&] {
    absl::Status status = loop.save();
    saved = absl::Now();
    return status;
  };
  const auto stopped = [&] {
    if (absl::Status status = save(); !status.ok()) return status;
    return absl::CancelledError(absl::StrCat("stopped after step ", state.step, " of ", loop.steps,
                                             "; its state is saved: the same command goes on"));
  };
  for (;;) {
    if (loop.stop_requested()) return stopped();
    if (loop.evaluation_is_due()) {
      absl::Status status = loop.evaluate();
      if (absl::IsCancelled(status)) return stopped();
      if (status.ok()) status = save();
      if (!status.ok()) return status;
    }
    if (loop.patience > 0 && state.evaluations_since_best >= loop.patience) {
      return absl::StrCat("Ended after step ", state.step, " of ", loop.steps, ": ", loop.score,
                          " has not become better for ", loop.patience, " evaluations.");
    }
    if (state.step == loop.steps) return absl::StrCat("Finished all ", loop.steps, " steps.");
    if (absl::Status status = loop.step(); !status.ok()) return status;
    if (absl::Now() - saved < loop.save_every) continue;
    if (absl::Status status = save(); !status.ok()) return status;
  }
}

boost::json::object FinishedAlready(const std::string& folder) {
  return MakeEvent("end", absl::StrCat(folder,
                                       ": this training is finished already; report.md says how it "
                                       "went, --noresume repeats it"));
}

absl::StatusOr<boost::json::object> SkippedBatches::Add(const std::string& why, RunState* state) {
  ++state->skipped_batches;
  if (++in_a_row_ < kMostInARow) {
    return MakeEvent("finding", absl::StrCat(why, "; the batch is skipped"));
  }
  return absl::OutOfRangeError(absl::StrCat(
      why, ", and so were the ", kMostInARow - 1,
      " batches before; what was saved last stays. A lower --lr may help, in another --out"));
}

}  // namespace trainer
