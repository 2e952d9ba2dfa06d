#include "trainer/segmenter/tuning_run.h"

#include <absl/status/statusor.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstddef>
#include <filesystem>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "dataset/annotations_reader.h"
#include "files/atomic_file.h"
#include "files/mapped_file.h"
#include "nn/threads.h"
#include "nn/torch_status.h"
#include "segmenter_service/inference/served_model.h"
#include "serving/cpu.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/run_log.h"
#include "trainer/run/training_loop.h"
#include "trainer/run/training_state.h"
#include "trainer/scenes/random.h"
#include "trainer/scenes/scene.h"
#include "trainer/segmenter/click_scores.h"
#include "trainer/segmenter/kept_embeddings.h"
#include "trainer/segmenter/segmenter_tuner.h"
#include "trainer/segmenter/tunable_segmenter.h"
#include "trainer/segmenter/tuning_images.h"
#include "trainer/segmenter/tuning_report.h"

namespace trainer {
namespace {

constexpr int kMostEvaluations = 20;  // besides the one before the first step
constexpr std::int64_t kStepsALine = 10;

absl::Status WithPrefix(const std::string& prefix, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(prefix, status.message()));
}

// A tuning that is set up, step by step, and then goes step by step.
class TuningRun {
 public:
  TuningRun(const TuningRunOptions& options, Display& display,
            const std::function<bool()>& stop_requested)
      : options_(options), display_(display), stop_requested_(stop_requested) {}

  absl::Status Do() {
    for (const auto step : {&TuningRun::ReadData, &TuningRun::ReadModel, &TuningRun::CheckRecord,
                            &TuningRun::Begin, &TuningRun::Train, &TuningRun::Finish}) {
      if (absl::Status status = (this->*step)(); !status.ok() || done_) return status;
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ReadData();
  absl::Status ReadModel();
  absl::Status Encode(segmenter::SamNetwork& network);
  absl::Status CheckRecord();
  absl::Status Begin();
  absl::Status Train();
  absl::Status Step();
  absl::Status LogStep(const TuningReport& report);
  absl::Status Evaluate();
  absl::StatusOr<ClickScores> Measure(boost::json::array* by_image);
  absl::Status Save();
  absl::Status Finish();

  std::int64_t steps() const {
    const auto images = static_cast<std::int64_t>(train_->size()) * options_.epochs;
    return (images + options_.batch - 1) / options_.batch;
  }
  bool EvaluationIsDue() const;
  std::size_t ImageAt(std::int64_t number);
  RunRecord Asked() const;
  absl::Status Log(const boost::json::object& event);

  const TuningRunOptions& options_;
  Display& display_;
  const std::function<bool()>& stop_requested_;
  bool done_ = false;

  std::optional<RunFolder> folder_;
  TrainingData data_;
  std::optional<TuningImages> train_, validation_;
  std::string version_, model_name_;  // of the source
  std::optional<KeptEmbeddings> kept_;
  TunableSegmenter segmenter_;
  std::unique_ptr<SegmenterTuner> tuner_;
  RunState state_;
  bool resumed_ = false;
  std::optional<RunLog> log_;
  // Of the evaluations: the first, the best and the latest one.
  std::optional<ClickScores> before_, best_, last_;
  std::vector<std::size_t> order_;  // of the images in epoch order_epoch_
  std::int64_t order_epoch_ = -1;
  SkippedBatches skipped_;
  absl::Time begun_;
  std::int64_t steps_here_ = 0;
  std::string end_;
};

absl::Status TuningRun::Log(const boost::json::object& event) {
  display_.Show(event);
  return log_->Append(event);
}

// A segmenter learns no classes: a label config only says how to read what Label Studio exports.
absl::Status CheckLabelConfig(const DataOptions& options) {
  if (options.label_config.empty()) return absl::OkStatus();
  const auto file = files::MappedFile::Open(options.data);
  if (!file.ok()) return WithPrefix("--data: ", file.status());
  if (!dataset::IsCoco((*file)->bytes())) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--label_config is for Label Studio's annotations; --data=", options.data, " is COCO"));
}

absl::Status TuningRun::ReadData() {
  if (absl::Status status = CheckLabelConfig(options_.data); !status.ok()) return status;
  absl::StatusOr<RunFolder> folder = RunFolder::Open(options_.out);
  if (!folder.ok()) return folder.status();
  folder_.emplace(*std::move(folder));
  absl::StatusOr<TrainingData> data = FreezeTrainingData(options_.data, *folder_);
  if (!data.ok()) return data.status();
  data_ = *std::move(data);
  train_.emplace(data_.train, data_.names, &data_.findings);
  validation_.emplace(data_.validation, data_.names, &data_.findings);
  if (train_->size() > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--data=", options_.data.data,
      ": no training image has an object with a mask, which a segmenter learns from; brush or "
      "polygon annotations (COCO: segmentation) are needed"));
}

absl::Status TuningRun::ReadModel() {
  const int threads = options_.threads > 0 ? options_.threads : serving::ReadCpuBudget().threads();
  nn::UseThreads(threads);
  absl::StatusOr<TunableSegmenter> segmenter = LoadTunable(options_.from);
  if (!segmenter.ok()) return WithPrefix("--from: ", segmenter.status());
  segmenter_ = *std::move(segmenter);
  // The encoder as it serves, which is the fast one.
  const auto served =
      segmenter::LoadModel({.path = options_.from, .root = {}}, {.threads = threads});
  if (!served.ok()) return WithPrefix("--from: ", served.status());
  version_ = (*served)->version;
  model_name_ = (*served)->name;
  const std::string folder = folder_->file("embeddings/" + (*served)->encoder);
  files::RemoveAbandonedFiles(folder);
  kept_.emplace(folder, (*served)->network->spec());
  if (absl::Status status = (*served)->network->WarmUp(); !status.ok()) return status;
  return Encode(*(*served)->network);
}

absl::Status TuningRun::Encode(segmenter::SamNetwork& network) {
  absl::Time told = absl::Now();
  const std::size_t all = train_->size() + validation_->size();
  std::size_t before = 0;
  const auto on_image = [&](std::size_t index) -> absl::Status {
    if (stop_requested_()) {
      return absl::CancelledError(absl::StrCat("stopped after encoding ", before + index, " of ",
                                               all,
                                               " images; they are kept: the same command goes on"));
    }
    if (absl::Now() - told < absl::Seconds(10)) return absl::OkStatus();
    told = absl::Now();
    // There is no log yet.
    display_.Show(
        MakeEvent("encoding", absl::StrCat("encoded ", before + index, " of ", all, " images")));
    return absl::OkStatus();
  };
  for (TuningImages* const images : {&*train_, &*validation_}) {
    absl::Status status =
        images->Encode(network, *kept_, folder_->file("data"), on_image, &data_.findings);
    if (!status.ok()) return status;
    before += images->size();
  }
  if (train_->size() > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--data=", options_.data.data, ": none of its images can be read any more"));
}

// What decides the result, under the names of the flags.
RunRecord TuningRun::Asked() const {
  return {.configuration = {{"from", version_},
                            {"epochs", absl::StrCat(options_.epochs)},
                            {"batch", absl::StrCat(options_.batch)},
                            {"lr", absl::StrCat(options_.learning_rate)},
                            {"corrections", absl::StrCat(options_.corrections)},
                            {"patience", absl::StrCat(options_.patience)},
                            {"seed", absl::StrCat(options_.seed)}},
          .revision = data_.revision.id};
}

absl::Status TuningRun::CheckRecord() {
  const absl::StatusOr<RunFolder::Found> found = folder_->Find(Asked(), options_.resume);
  if (!found.ok()) return found.status();
  resumed_ = *found == RunFolder::Found::kUnfinished;
  done_ = *found == RunFolder::Found::kFinished;
  if (done_) display_.Show(FinishedAlready(options_.out));
  return absl::OkStatus();
}

absl::Status TuningRun::Begin() {
  tuner_ = std::make_unique<SegmenterTuner>(
      segmenter_.decoder, TuningOptions{.learning_rate = options_.learning_rate,
                                        .steps = steps(),
                                        .warmup_steps = std::min<std::int64_t>(30, steps() / 4),
                                        .corrections = options_.corrections,
                                        .seed = options_.seed});
  if (resumed_) {
    const std::string path = folder_->file("state.pth");
    const absl::StatusOr<SavedState> saved = LoadState(path);
    if (!saved.ok()) return saved.status();
    state_ = saved->run;
    if (absl::Status status = tuner_->LoadStateDict(saved->tensors); !status.ok()) {
      return WithPrefix(path + ": ", status);
    }
  }
  auto log = RunLog::Open(folder_->file("log.jsonl"), state_.log_bytes,
                          [&](const boost::json::object& event) {
                            const auto scores = ClickScoresFromJson(event);
                            if (!scores.has_value()) return;
                            if (!before_.has_value()) before_ = scores;
                            if (event.at("best").as_bool()) best_ = scores;
                            last_ = scores;
                          });
  if (!log.ok()) return log.status();
  log_.emplace(*std::move(log));
  const std::string message =
      resumed_ ? absl::StrCat("going on after step ", state_.step, " of ", steps())
               : absl::StrCat(model_name_, ": ", train_->size(), " images with ", train_->objects(),
                              " objects to learn from, ", validation_->size(), " with ",
                              validation_->objects(), " to measure with; ", options_.epochs,
                              " epochs, ", steps(), " steps");
  absl::Status status = Log(MakeEvent(resumed_ ? "resumed" : "start", message));
  for (const std::string& line : data_.findings.Lines()) {
    if (resumed_ || !status.ok()) break;
    status = Log(MakeEvent("finding", line));
  }
  return status;
}

// Before the first step, and then at most kMostEvaluations times, evenly.
bool TuningRun::EvaluationIsDue() const {
  if (validation_->size() == 0) return false;
  if (state_.step == 0) return !before_.has_value();
  const std::int64_t times = std::min(options_.epochs, kMostEvaluations);
  return state_.evaluated_step != state_.step &&
         state_.step * times / steps() != (state_.step - 1) * times / steps();
}

absl::Status TuningRun::Train() {
  begun_ = absl::Now();
  absl::StatusOr<std::string> end = RunLoop({.steps = steps(),
                                             .patience = options_.patience,
                                             .score = "the IoU",
                                             .save_every = absl::Minutes(options_.save_minutes),
                                             .stop_requested = stop_requested_,
                                             .evaluation_is_due = [&] { return EvaluationIsDue(); },
                                             .step = [&] { return Step(); },
                                             .evaluate = [&] { return Evaluate(); },
                                             .save = [&] { return Save(); }},
                                            state_);
  if (!end.ok()) return end.status();
  end_ = *std::move(end);
  return absl::OkStatus();
}

// The number-th image that is learned from: every epoch has all of them, in an order of its own.
std::size_t TuningRun::ImageAt(std::int64_t number) {
  const auto images = static_cast<std::int64_t>(train_->size());
  if (order_epoch_ != number / images) {
    order_epoch_ = number / images;
    order_.resize(train_->size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    Random random(SceneSeed(options_.seed, "order", static_cast<std::uint64_t>(order_epoch_)));
    for (std::size_t i = order_.size(); i > 1; --i) {
      std::swap(order_[i - 1], order_[random.Next() % i]);
    }
  }
  return order_[static_cast<std::size_t>(number % images)];
}

absl::Status TuningRun::Step() {
  std::vector<TuningImage> batch;
  for (std::int64_t i = 0; i < options_.batch; ++i) {
    absl::StatusOr<TuningImage> image =
        train_->Load(ImageAt(state_.step * options_.batch + i), *kept_);
    if (!image.ok()) return image.status();
    batch.push_back(*std::move(image));
  }
  const absl::StatusOr<TuningReport> report = tuner_->Step(batch);
  state_.step = tuner_->step();
  ++steps_here_;
  if (absl::IsOutOfRange(report.status())) {
    const auto event = skipped_.Add(std::string(report.status().message()), &state_);
    return event.ok() ? Log(*event) : event.status();
  }
  if (!report.ok()) return report.status();
  skipped_.Learned();
  return LogStep(*report);
}

absl::Status TuningRun::LogStep(const TuningReport& report) {
  const absl::Duration a_step = (absl::Now() - begun_) / steps_here_;
  const std::int64_t epoch =
      (state_.step * options_.batch - 1) / static_cast<std::int64_t>(train_->size());
  display_.Show({.step = static_cast<int>(state_.step),
                 .steps = static_cast<int>(steps()),
                 .epoch = static_cast<int>(std::min<std::int64_t>(epoch + 1, options_.epochs)),
                 .epochs = options_.epochs,
                 .loss = report.total(),
                 .learning_rate = report.learning_rate,
                 .best_ap = state_.best_ap,
                 .score = "IoU",
                 .left = a_step * (steps() - state_.step)},
                absl::Now());
  if (state_.step % kStepsALine != 0 && state_.step != steps()) return absl::OkStatus();
  boost::json::object event = MakeEvent("step");
  event["step"] = state_.step;
  event["steps"] = steps();
  event["learning_rate"] = report.learning_rate;
  event["losses"] =
      boost::json::object{{"focal", report.focal}, {"dice", report.dice}, {"iou", report.iou}};
  event["gradient_norm"] = report.gradient_norm;
  event["seconds_left"] = absl::ToInt64Seconds(a_step * (steps() - state_.step));
  return Log(event);
}

absl::StatusOr<ClickScores> TuningRun::Measure(boost::json::array* by_image) {
  ClickScores all;
  for (std::size_t i = 0; i < validation_->size(); ++i) {
    if (stop_requested_()) return absl::CancelledError("stopped");
    absl::StatusOr<TuningImage> image = validation_->Load(i, *kept_);
    if (!image.ok()) return image.status();
    const auto scores = ScoreClicks(*segmenter_.decoder, image->embedding, image->masks);
    if (!scores.ok()) return scores.status();
    boost::json::object entry = ToJson(*scores);
    entry["image"] = validation_->name(i);
    by_image->push_back(std::move(entry));
    all.Add(*scores);
  }
  return all;
}

absl::Status TuningRun::Evaluate() {
  return tuner_->WithAverage([&]() -> absl::Status {
    boost::json::array by_image;
    const absl::StatusOr<ClickScores> scores = Measure(&by_image);
    if (!scores.ok()) return scores.status();
    const bool better = scores->Mean() > state_.best_ap;
    if (better) {
      const absl::Status written = WriteTuned(segmenter_, folder_->file("best.pth"));
      if (!written.ok()) return written;
      state_.best_ap = scores->Mean();
      state_.best_step = state_.step;
      state_.evaluations_since_best = 0;
      best_ = *scores;
    } else {
      ++state_.evaluations_since_best;
    }
    if (!before_.has_value()) before_ = *scores;
    last_ = *scores;
    state_.evaluated_step = state_.step;
    boost::json::object event = MakeEvent("evaluation");
    event["step"] = state_.step;
    for (auto& [name, value] : ToJson(*scores)) event[name] = value;
    event["best"] = better;
    event["by_image"] = std::move(by_image);
    event["message"] = absl::StrCat("step ", state_.step, ": ", Sentence(*scores),
                                    better ? ", the best so far" : "");
    return Log(event);
  });
}

absl::Status TuningRun::Save() {
  absl::Status status =
      tuner_->WithAverage([&] { return WriteTuned(segmenter_, folder_->file("last.pth")); });
  if (!status.ok()) return status;
  boost::json::object event = MakeEvent("saved");
  event["step"] = state_.step;
  if (status = Log(event); !status.ok()) return status;
  state_.log_bytes = log_->size();
  return SaveState(folder_->file("state.pth"), state_, tuner_->ToStateDict());
}

absl::Status TuningRun::Finish() {
  absl::Status status = tuner_->WithAverage([&]() -> absl::Status {
    absl::Status written = WriteTuned(segmenter_, folder_->file("last.pth"));
    if (!written.ok() || best_.has_value()) return written;
    return WriteTuned(segmenter_, folder_->file("best.pth"));
  });
  if (!status.ok()) return status;
  TuningReportParts report{.model = model_name_,
                           .revision = data_.revision.id,
                           .train_images = train_->size(),
                           .train_objects = train_->objects(),
                           .validation_images = validation_->size(),
                           .validation_objects = validation_->objects(),
                           .findings = data_.findings.Lines(),
                           .recipe = Asked().configuration,
                           .end = end_,
                           .measured = options_.report_of + ".pth",
                           .before = before_,
                           // The last step was followed by an evaluation.
                           .after = options_.report_of == "last" ? last_ : best_};
  status = files::WriteFile(folder_->file("report.md"), WriteTuningReport(report));
  if (!status.ok()) return status;
  boost::json::object event = MakeEvent("end");
  event["step"] = state_.step;
  event["best_step"] = state_.best_step;
  if (before_.has_value()) event["before"] = ToJson(*before_);
  if (best_.has_value()) event["best"] = ToJson(*best_);
  event["message"] =
      absl::StrCat(end_, best_.has_value() ? absl::StrCat(" Before: ", Sentence(*before_),
                                                          ". best.pth: ", Sentence(*best_), ".")
                                           : "");
  if (status = Log(event); !status.ok()) return status;
  std::error_code ignored;
  std::filesystem::remove_all(folder_->file("embeddings"), ignored);
  return folder_->Finish();
}

}  // namespace

absl::Status RunTuning(const TuningRunOptions& options, Display& display,
                       const std::function<bool()>& stop_requested) {
  return nn::CatchTorch("tune", [&] { return TuningRun(options, display, stop_requested).Do(); });
}

}  // namespace trainer
