#include "trainer/run/session.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include <boost/json.hpp>
#include <utility>

#include "checkpoint/pth_writer.h"
#include "dataset/findings.h"
#include "files/atomic_file.h"
#include "nn/compute_thread.h"
#include "nn/state_dict.h"
#include "nn/torch_status.h"
#include "trainer/evaluate/coco_scores.h"
#include "trainer/evaluate/evaluation_report.h"
#include "trainer/evaluate/served_detections.h"
#include "trainer/run/curves.h"
#include "trainer/run/make_batch.h"
#include "trainer/run/training_loop.h"

namespace trainer {
namespace {

constexpr int kStepsALine = 10;  // of the log, and at the end of an epoch

// A source that ends an evaluation when the training is to stop.
class StoppableSource : public ImageSource {
 public:
  StoppableSource(const ImageSource& source, const std::function<bool()>& stop_requested)
      : source_(source), stop_requested_(stop_requested) {}

  const std::vector<std::string>& classes() const override { return source_.classes(); }
  std::size_t size() const override { return source_.size(); }
  std::string name(std::size_t index) const override { return source_.name(index); }
  absl::StatusOr<TrainingImage> Load(std::size_t index) const override {
    if (stop_requested_()) return absl::CancelledError("stopped");
    return source_.Load(index);
  }

 private:
  const ImageSource& source_;
  const std::function<bool()>& stop_requested_;
};

// {"ap": …, "ap50": …, …, "by_class": {"cat": {…}, …}}.
void AddScores(const CocoEvaluation& scores, const std::vector<std::string>& classes,
               boost::json::object* event) {
  for (const auto& [name, value] : ToJson(scores.all)) (*event)[name] = value;
  boost::json::object by_class;
  for (std::size_t c = 0; c < scores.by_class.size(); ++c) {
    by_class[classes[c]] = ToJson(scores.by_class[c]);
  }
  (*event)["by_class"] = std::move(by_class);
}

}  // namespace

absl::Status Session::Written(absl::Status status) {
  writing_failed_ = writing_failed_ || !status.ok();
  return status;
}

absl::Status Session::Log(const boost::json::object& event) {
  parts_.history.Add(event);
  parts_.display.Show(event);
  return Written(parts_.log.Append(event));
}

bool Session::IsEpochsEnd() const { return state_.step % parts_.plan.steps_per_epoch == 0; }

bool Session::EvaluationIsDue() const {
  if (parts_.validation.size() == 0 || state_.evaluated_step == state_.step) return false;
  if (state_.step == 0 || !IsEpochsEnd()) return false;
  const std::int64_t epoch = state_.step / parts_.plan.steps_per_epoch;
  return parts_.plan.EvaluatesAfter(epoch);
}

absl::Status Session::Run() {
  const absl::Status status = RunToItsEnd();
  // Of the file system, such as a full disk.
  if (status.ok() || !writing_failed_) return status;
  return absl::Status(
      status.code(),
      absl::StrCat(status.message(),
                   "; the files before it are whole: make room, and the same command "
                   "goes on from the state that was saved last"));
}

absl::Status Session::RunToItsEnd() {
  begun_ = absl::Now();
  seconds_before_ = state_.seconds;
  loader_.emplace(parts_.sequence, LoaderOptions{.batch_size = parts_.plan.batch,
                                                 .threads = parts_.loader_threads,
                                                 .first_batch = static_cast<std::uint64_t>(
                                                     state_.step + state_.skipped_batches)});
  absl::StatusOr<std::string> end = RunLoop({.steps = parts_.plan.steps(),
                                             .patience = parts_.patience,
                                             .score = "AP",
                                             .save_every = parts_.save_every,
                                             .stop_requested = parts_.stop_requested,
                                             .evaluation_is_due = [&] { return EvaluationIsDue(); },
                                             .step = [&] { return Step(); },
                                             .evaluate = [&] { return Evaluate(); },
                                             .save = [&] { return Save(); }},
                                            state_);
  if (!end.ok()) return end.status();
  end_ = *std::move(end);
  if (absl::Status status = WriteLast(); !status.ok() || state_.best_ap >= 0) return status;
  return WriteModel("best.pth", nn::ToStateDict(*parts_.trainer.AveragedNetwork()));
}

absl::Status Session::Step() {
  absl::StatusOr<std::vector<TrainingImage>> images = loader_->Next();
  if (!images.ok()) return images.status();
  absl::StatusOr<StepReport> report = absl::InternalError("not computed");
  const absl::Status thrown = nn::CatchTorch("learn from a batch", [&] {
    nn::RunOnComputeThread(
        [&] { report = parts_.trainer.Step(MakeBatch(*std::move(images), parts_.settings)); });
  });
  if (!thrown.ok()) return thrown;
  if (absl::IsOutOfRange(report.status())) return Skip(report.status());
  if (!report.ok()) {
    return absl::Status(report.status().code(),
                        absl::StrCat("step ", state_.step + 1, ": ", report.status().message(),
                                     "; what was saved last stays"));
  }
  skipped_.Learned();
  ++state_.step;
  ++steps_here_;
  state_.seconds = seconds_before_ + absl::ToDoubleSeconds(absl::Now() - begun_);
  if (absl::Status status = LogSteps(*report); !status.ok()) return status;
  parts_.display.Show(ProgressNow(*report), absl::Now());
  return absl::OkStatus();
}

// A trainer that couldn't learn from a batch is as it was before.
absl::Status Session::Skip(const absl::Status& why) {
  const auto event =
      skipped_.Add(absl::StrCat("step ", state_.step + 1, ": ", why.message()), &state_);
  return event.ok() ? Log(*event) : event.status();
}

Progress Session::ProgressNow(const StepReport& report) const {
  const std::int64_t steps_left = parts_.plan.steps() - state_.step;
  const absl::Duration a_step = (absl::Now() - begun_) / steps_here_;
  return {.step = static_cast<int>(state_.step),
          .steps = static_cast<int>(parts_.plan.steps()),
          .epoch = static_cast<int>((state_.step - 1) / parts_.plan.steps_per_epoch) + 1,
          .epochs = parts_.plan.epochs,
          .loss = report.total(),
          .learning_rate = report.learning_rate,
          .best_ap = state_.best_ap,
          .left = a_step * steps_left};
}

absl::Status Session::LogSteps(const StepReport& report) {
  ++summed_;
  classes_ += report.classes;
  boxes_ += report.boxes;
  masks_ += report.masks;
  gradient_norm_ += report.gradient_norm;
  if (state_.step % kStepsALine != 0 && !IsEpochsEnd()) return absl::OkStatus();
  if (absl::Status status = LogUnloadable(); !status.ok()) return status;
  boost::json::object event = MakeEvent("step");
  event["step"] = state_.step;
  event["steps"] = parts_.plan.steps();
  event["epoch"] = static_cast<double>(state_.step) / parts_.plan.steps_per_epoch;
  event["learning_rate"] = report.learning_rate;
  boost::json::object losses{{"classes", classes_ / summed_}, {"boxes", boxes_ / summed_}};
  if (masks_ > 0) losses["masks"] = masks_ / summed_;
  event["losses"] = std::move(losses);
  event["gradient_norm"] = gradient_norm_ / summed_;
  event["seconds_left"] = absl::ToInt64Seconds(ProgressNow(report).left);
  summed_ = 0;
  classes_ = boxes_ = masks_ = gradient_norm_ = 0;
  return Log(event);
}

// All images could be read when they were frozen.
absl::Status Session::LogUnloadable() {
  dataset::Findings findings;
  boost::json::object images;
  for (const auto& [index, why] : parts_.sequence.Unloadable()) {
    const std::string& path = parts_.train_truth.samples[index].image;
    const auto name = parts_.names.find(path);
    const std::string& shown = name == parts_.names.end() ? path : name->second;
    if (parts_.history.unloadable.contains(shown)) continue;
    images[shown] = why;
    findings.Add(kUnloadable, absl::StrCat("'", shown, "': ", why));
  }
  if (images.empty()) return absl::OkStatus();
  boost::json::object event = MakeEvent("finding", findings.Lines().front());
  event["images"] = std::move(images);
  return Log(event);
}

absl::Status Session::WriteModel(const std::string& name, const checkpoint::StateDict& weights) {
  return Written(checkpoint::WritePth(
      parts_.folder.file(name), weights, parts_.meta,
      checkpoint::TrainingMeta{.palette = parts_.palette,
                               .epoch = state_.step / parts_.plan.steps_per_epoch,
                               .iter = state_.step}));
}

// What is measured is the file that was written, by the code that serves it.
absl::Status Session::Evaluate() {
  const absl::Time begun = absl::Now();
  if (absl::Status status = WriteLast(); !status.ok()) return status;
  const StoppableSource images(parts_.validation, parts_.stop_requested);
  const absl::StatusOr<DetectionsByImage> detections =
      DetectAsServed({.checkpoint = parts_.folder.file("last.pth")}, images);
  if (!detections.ok()) return detections.status();
  const CocoEvaluation scores = EvaluateCoco(parts_.validation_truth, *detections, IouType::kBoxes);
  std::optional<CocoEvaluation> masks;
  if (parts_.masks) masks = EvaluateCoco(parts_.validation_truth, *detections, IouType::kMasks);
  // None if there is no object, which is no measurement.
  const std::optional<double> ap = scores.all.ap;
  const bool best = ap.has_value() && *ap > state_.best_ap;
  state_.evaluated_step = state_.step;
  if (best) {
    state_.best_ap = *ap;
    state_.best_step = state_.step;
    state_.evaluations_since_best = 0;
    absl::Status status =
        WriteModel("best.pth", nn::ToStateDict(*parts_.trainer.AveragedNetwork()));
    if (!status.ok()) return status;
  } else if (ap.has_value() && state_.step > parts_.plan.patience_from()) {
    ++state_.evaluations_since_best;
  }
  boost::json::object event = MakeEvent("evaluation");
  event["step"] = state_.step;
  event["epoch"] = state_.step / parts_.plan.steps_per_epoch;
  AddScores(scores, parts_.meta.classes, &event);
  if (masks) AddScores(*masks, parts_.meta.classes, &event["masks"].emplace_object());
  event["best"] = best;
  event["seconds"] = absl::ToDoubleSeconds(absl::Now() - begun);
  if (absl::Status status = Log(event); !status.ok()) return status;
  return Written(files::WriteFile(parts_.folder.file("curves.svg"), DrawCurves(parts_.history)));
}

absl::Status Session::WriteLast() {
  if (last_written_ == state_.step) return absl::OkStatus();
  absl::Status status = WriteModel("last.pth", nn::ToStateDict(*parts_.trainer.AveragedNetwork()));
  if (status.ok()) last_written_ = state_.step;
  return status;
}

absl::Status Session::Save() {
  if (absl::Status status = WriteLast(); !status.ok()) return status;
  boost::json::object event = MakeEvent("saved");
  event["step"] = state_.step;
  if (absl::Status status = Log(event); !status.ok()) return status;
  state_.log_bytes = parts_.log.size();
  return Written(SaveState(parts_.folder.file("state.pth"), state_, parts_.trainer.ToStateDict()));
}

}  // namespace trainer
