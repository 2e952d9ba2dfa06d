// One training, from its first step or from where it was interrupted to its last: steps,
// evaluations, what is saved when.
//
// After an interval (an evaluation, or --save_minutes) the state is saved. If the process ends
// before the next one, the steps since then are done again, with the same images and, with one
// thread, the same bits.
#ifndef DUET_TRAINER_RUN_SESSION_H_
#define DUET_TRAINER_RUN_SESSION_H_

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "dataset/sample.h"
#include "detector_service/config/detector_settings.h"
#include "trainer/augment/batch_loader.h"
#include "trainer/augment/training_sequence.h"
#include "trainer/detector/detector_trainer.h"
#include "trainer/run/display.h"
#include "trainer/run/history.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/run_log.h"
#include "trainer/run/training_loop.h"
#include "trainer/run/training_plan.h"
#include "trainer/run/training_state.h"
#include "trainer/samples/image_source.h"

namespace trainer {

struct SessionParts {
  RunFolder& folder;
  RunLog& log;
  Display& display;
  History& history;
  DetectorTrainer& trainer;
  const TrainingSequence& sequence;
  const dataset::Dataset& train_truth;              // of the images of the sequence
  const std::map<std::string, std::string>& names;  // what people call an image, by its path
  const ImageSource& validation;                    // may have no images
  const dataset::Dataset& validation_truth;         // of the same images
  bool masks = false;                               // RTMDet-Ins: they are measured, too
  const TrainingPlan& plan;
  const detector::DetectorSettings& settings;  // how an image becomes an input
  checkpoint::Meta meta;                       // of the models that are written
  std::vector<std::array<int, 3>> palette;
  // Evaluations without a better AP that end the training, counted from plan.patience_from() on; 0:
  // none do.
  int patience = 0;
  absl::Duration save_every;  // at most so much is lost
  int loader_threads = 1;
  std::function<bool()> stop_requested;  // asked after every step
};

class Session {
 public:
  // All that `parts` refers to must outlive it. `state`: where to go on.
  Session(SessionParts parts, const RunState& state) : parts_(std::move(parts)), state_(state) {}

  // Until the last step, or until nothing gets better. The best model is that with the best AP of
  // its boxes, also of RTMDet-Ins: mmengine's save_best='auto' takes the first of mmdet's metrics,
  // coco/bbox_mAP. Without any AP it is the last.
  //
  // A batch whose losses or gradients aren't finite is skipped, logged and counted. OutOfRange for
  // too many in a row (SkippedBatches). Cancelled if it was stopped, with the state saved. After
  // this and after errors of the file system the state that was saved last stays.
  absl::Status Run();

  const RunState& state() const { return state_; }
  // A sentence: how it ended.
  const std::string& end() const { return end_; }

 private:
  absl::Status RunToItsEnd();
  // Notes that a file couldn't be written.
  absl::Status Written(absl::Status status);
  absl::Status Step();
  absl::Status Skip(const absl::Status& why);
  absl::Status Evaluate();
  absl::Status Save();
  absl::Status WriteLast();
  absl::Status WriteModel(const std::string& name, const checkpoint::StateDict& weights);
  absl::Status Log(const boost::json::object& event);
  absl::Status LogSteps(const StepReport& report);
  absl::Status LogUnloadable();
  bool EvaluationIsDue() const;
  bool IsEpochsEnd() const;
  Progress ProgressNow(const StepReport& report) const;

  SessionParts parts_;
  RunState state_;
  std::optional<BatchLoader> loader_;
  absl::Time begun_;
  double seconds_before_ = 0;
  std::int64_t steps_here_ = 0;
  SkippedBatches skipped_;
  std::int64_t last_written_ = -1;  // of which step last.pth is
  // Sums over the steps since the last line of the log.
  int summed_ = 0;
  double classes_ = 0;
  double boxes_ = 0;
  double masks_ = 0;
  double gradient_norm_ = 0;
  bool writing_failed_ = false;
  std::string end_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_SESSION_H_
