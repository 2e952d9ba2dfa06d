#include "trainer/run/run.h"

#include <ATen/Functions.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <c10/core/Device.h>

#include <algorithm>
#include <boost/json.hpp>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/wrappers.h"
#include "detector_service/config/detector_settings.h"
#include "detector_service/config/python_config.h"
#include "detector_service/inference/preprocess.h"
#include "detector_service/rtmdet/rtmdet_config.h"
#include "files/atomic_file.h"
#include "nn/threads.h"
#include "nn/torch_status.h"
#include "serving/cpu.h"
#include "trainer/augment/recipe.h"
#include "trainer/augment/training_sequence.h"
#include "trainer/detector/detector_trainer.h"
#include "trainer/detector/trainable_detector.h"
#include "trainer/run/class_colors.h"
#include "trainer/run/final_report.h"
#include "trainer/run/model_config.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/run_log.h"
#include "trainer/run/session.h"
#include "trainer/run/training_config.h"
#include "trainer/run/training_state.h"
#include "trainer/samples/class_match.h"
#include "trainer/samples/dataset_source.h"

namespace trainer {
namespace {

absl::Status WithPrefix(const std::string& prefix, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(prefix, ": ", status.message()));
}

// LibTorch says itself which devices there are.
absl::Status CheckDevice(const std::string& device) {
  bool is_cpu = false;
  const absl::Status usable = nn::CatchTorch("LibTorch", [&] {
    const c10::Device target(device);
    is_cpu = target.is_cpu();
    at::empty({1}, at::TensorOptions().device(target));
  });
  if (!usable.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("--device=", device, ": cannot be used: ", usable.message()));
  }
  if (is_cpu) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("--device=", device, ": trainings compute on cpu"));
}

struct SourceModel {
  checkpoint::Checkpoint file;
  TrainableDetector detector;
  detector::PythonConfig config;
};

absl::StatusOr<SourceModel> LoadSource(const RunOptions& options,
                                       const std::vector<std::string>& classes) {
  const std::string flag = absl::StrCat("--from=", options.from);
  SourceModel source;
  absl::StatusOr<checkpoint::Checkpoint> file = checkpoint::ReadCheckpoint(options.from);
  if (!file.ok())
    return absl::Status(file.status().code(), absl::StrCat("--from: ", file.status().message()));
  source.file = *std::move(file);
  constexpr std::string_view kAnchors[] = {"backbone"};
  const auto removed = checkpoint::RemoveWrappers(kAnchors, &source.file.state_dict);
  if (!removed.ok()) return WithPrefix(flag, removed.status());
  source.config = detector::ParsePythonConfig(source.file.meta.config_text);
  const absl::StatusOr<ClassMatch> match = ClassMatch::Read(options.data.label_config);
  if (!match.ok()) return WithPrefix("--label_config", match.status());
  absl::StatusOr<TrainableDetector> detector =
      LoadForTraining(source.file, classes, options.seed, *match);
  if (!detector.ok()) return WithPrefix(flag, detector.status());
  source.detector = *std::move(detector);
  return source;
}

// What decides the result, under the names of the flags.
RunRecord RecordOf(const RunOptions& options, const TrainingPlan& plan, const SourceModel& source,
                   int side, const std::string& revision) {
  return {.configuration = {{"from", source.file.content_hash},
                            {"epochs", absl::StrCat(plan.epochs)},
                            {"plain_epochs", absl::StrCat(plan.plain_epochs)},
                            {"batch", absl::StrCat(plan.batch)},
                            {"accumulation", absl::StrCat(options.accumulation)},
                            {"lr", absl::StrCat(plan.learning_rate)},
                            {"new_class_lr", absl::StrCat(plan.new_class_learning_rate)},
                            {"frozen_stages", absl::StrCat(plan.frozen_stages)},
                            {"input_size", absl::StrCat(side)},
                            {"patience", absl::StrCat(options.patience)},
                            {"precision", options.precision},
                            {"seed", absl::StrCat(options.seed)},
                            {"label_config", options.data.label_config.empty()
                                                 ? ""
                                                 : absl::StrJoin(source.detector.kept, ",")}},
          .revision = revision};
}

ModelScale ScaleOf(const detector::RtmdetConfig& network) {
  if (network.depthwise.backbone) return ModelScale::kNano;
  if (network.neck_channels < 128) return ModelScale::kTiny;
  return network.neck_channels < 192 ? ModelScale::kSmall : ModelScale::kMediumAndUp;
}

DetectorTrainingOptions TrainerOptions(const TrainingPlan& plan, int accumulation,
                                       const TrainableDetector& detector) {
  return {.schedule = {.base = plan.learning_rate,
                       .epochs = plan.epochs,
                       .iterations_per_epoch = plan.steps_per_epoch,
                       .warmup_iterations = plan.warmup_steps,
                       .final_share = plan.final_share},
          .accumulation = accumulation,
          .frozen_stages = plan.frozen_stages,
          .new_classes = detector.new_rows,
          .new_class_rate_ratio = plan.new_class_learning_rate / plan.learning_rate,
          .average = {.momentum = plan.average_momentum, .gamma = plan.average_gamma},
          .learning = detector.learning};
}

// A run that is set up, step by step.
class Run {
 public:
  Run(const RunOptions& options, Display& display, const std::function<bool()>& stop_requested)
      : options_(options), display_(display), stop_requested_(stop_requested) {}

  absl::Status Do() {
    for (const auto step : {&Run::OpenFolder, &Run::ReadData, &Run::MakePlan, &Run::ReadModel,
                            &Run::CheckRecord, &Run::MakeTrainer, &Run::Train}) {
      if (absl::Status status = (this->*step)(); !status.ok() || done_) return status;
    }
    return absl::OkStatus();
  }

 private:
  absl::Status OpenFolder();
  absl::Status ReadData();
  absl::Status MakePlan();
  absl::Status ReadModel();
  absl::Status CheckMasks();
  bool HasMasks() const {
    return source_.detector.network->config.head == detector::HeadKind::kInstances;
  }
  absl::Status ReadSide();
  absl::Status CheckRecord();
  absl::Status MakeTrainer();
  absl::Status Train();
  absl::Status Announce(RunLog& log, History& history);
  absl::Status Finish(const Session& session, RunLog& log, History& history);

  const RunOptions& options_;
  Display& display_;
  const std::function<bool()>& stop_requested_;
  bool done_ = false;

  std::optional<RunFolder> folder_;
  TrainingData data_;
  SourceModel source_;
  detector::DetectorSettings settings_;
  int side_ = 0;
  Recipe recipe_;
  checkpoint::Meta meta_;
  std::vector<std::array<int, 3>> palette_;
  TrainingPlan plan_;
  RunState state_;
  bool resumed_ = false;
  std::unique_ptr<DetectorTrainer> trainer_;
};

absl::Status Run::OpenFolder() {
  if (absl::Status status = CheckDevice(options_.device); !status.ok()) return status;
  nn::UseThreads(options_.threads > 0 ? options_.threads : serving::ReadCpuBudget().threads());
  absl::StatusOr<RunFolder> folder = RunFolder::Open(options_.out);
  if (!folder.ok()) return folder.status();
  folder_.emplace(*std::move(folder));
  return absl::OkStatus();
}

absl::Status Run::ReadData() {
  absl::StatusOr<TrainingData> data = FreezeTrainingData(options_.data, *folder_);
  if (!data.ok()) return data.status();
  data_ = *std::move(data);
  return absl::OkStatus();
}

// RTMDet-Ins learns objects by their masks, and one without counts for nothing.
absl::Status Run::CheckMasks() {
  std::size_t with = 0;
  for (const dataset::Sample& sample : data_.train.samples) {
    for (const dataset::Object& object : sample.objects) {
      if (object.crowd) continue;
      with += object.mask.has_value();
      if (object.mask.has_value()) continue;
      data_.findings.Add("objects without a mask, not learned, since RTMDet-Ins learns masks",
                         absl::StrCat("on '", data_.names[sample.image], "'"));
    }
  }
  if (with > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--from=", options_.from, ": is an RTMDet-Ins, which learns masks, but --data=",
                   options_.data.data, " has boxes alone; an RTMDet learns these"));
}

absl::Status Run::ReadModel() {
  absl::StatusOr<SourceModel> source = LoadSource(options_, data_.train.classes);
  if (!source.ok()) return source.status();
  source_ = *std::move(source);
  if (HasMasks()) {
    if (absl::Status status = CheckMasks(); !status.ok()) return status;
  }
  const detector::RtmdetConfig& network = source_.detector.network->config;
  palette_ = ClassColors(static_cast<int>(data_.train.classes.size()));
  ModelConfigChanges changes{.classes = data_.train.classes,
                             .palette = palette_,
                             .revision = data_.revision.id,
                             .input_size = {}};
  if (options_.input_size > 0) {
    changes.input_size = vision::Size{options_.input_size, options_.input_size};
  }
  const std::string flag = absl::StrCat("--from=", options_.from);
  if (source_.file.meta.config_text.empty()) {
    data_.findings.Add("checkpoints without a config, taken as the official ones of this size are",
                       absl::StrCat(options_.from, ", exp_on_reg=", network.exp_on_reg));
  }
  absl::StatusOr<std::string> text =
      FineTunedConfig(source_.file.meta.config_text, network, changes);
  if (!text.ok()) return WithPrefix(flag, text.status());
  const absl::StatusOr<detector::DetectorSettings> settings = detector::ReadSettings(
      detector::ParsePythonConfig(*text), detector::DefaultSettings(network));
  if (!settings.ok()) return WithPrefix(flag, settings.status());
  settings_ = *settings;
  if (absl::Status status = ReadSide(); !status.ok()) return status;
  recipe_ = RtmdetRecipe(ScaleOf(network), HasMasks(), side_);
  const detector::PythonValue* const backbone = source_.config.values.Find({"model", "backbone"});
  *text += TrainingConfig({.plan = plan_,
                           .recipe = recipe_,
                           .accumulation = options_.accumulation,
                           .revision = data_.revision.id,
                           .validation = !data_.validation.samples.empty(),
                           .backbone = source_.file.meta.config_text.empty() ||
                                       (backbone != nullptr && backbone->dict() != nullptr),
                           .new_classes = static_cast<int>(source_.detector.new_rows.size()),
                           .classes = source_.detector.network->config.num_classes});
  meta_ = {.classes = data_.train.classes,
           .config_text = *std::move(text),
           .mmengine_version = source_.file.meta.mmengine_version};
  if (meta_.mmengine_version.empty()) meta_.mmengine_version = "0.10.7";
  return absl::OkStatus();
}

// What is learned from is a square: the recipes are made of squares, and the network halves its
// input five times. What is measured with goes through the config's test pipeline, which must give
// inputs that the network can take.
absl::Status Run::ReadSide() {
  const vision::Size size = settings_.input_size;
  const std::string sizes = absl::StrCat(size.width, "x", size.height);
  side_ = std::max(size.width, size.height);
  const auto refuse = [&](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--from=", options_.from, ": its config scales images to ", sizes, what...,
        "; --input_size=", std::clamp((side_ + 31) / 32 * 32, 64, 4096), " sets another size"));
  };
  if (!IsTrainingSide(side_)) {
    return refuse(", but a training needs squares whose side is a multiple of 32 from 64 to 4096");
  }
  for (const dataset::Sample& sample : data_.validation.samples) {
    const bool known = sample.size.width > 0 && sample.size.height > 0;
    if (!known || detector::PlaceImage(sample.size, settings_).ok()) continue;
    return refuse(" without padding '", data_.names[sample.image], "' (", sample.size.width, "x",
                  sample.size.height, ") to multiples of 32 from 32 to 4096");
  }
  if (size.width != size.height) {
    data_.findings.Add(
        "input sizes that are no squares, learned from as the square of the "
        "longer side and measured as they are",
        sizes);
  }
  return absl::OkStatus();
}

absl::Status Run::MakePlan() {
  PlanChoices choices = options_.plan;
  int stages = 0;
  if (absl::SimpleAtoi(options_.frozen_stages, &stages)) choices.frozen_stages = stages;
  if (options_.plain_epochs >= 0) choices.plain_epochs = options_.plain_epochs;
  plan_ = ChoosePlan(data_.train.samples.size(), choices);
  if (plan_.steps() <= kMostSteps) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--epochs=", plan_.epochs, ": with ", data_.train.samples.size(), " images and --batch=",
      plan_.batch, " that is ", plan_.steps(), " steps; at most ", kMostSteps, " can be done"));
}

absl::Status Run::CheckRecord() {
  const RunRecord asked = RecordOf(options_, plan_, source_, side_, data_.revision.id);
  const absl::StatusOr<RunFolder::Found> found = folder_->Find(asked, options_.resume);
  if (!found.ok()) return found.status();
  resumed_ = *found == RunFolder::Found::kUnfinished;
  done_ = *found == RunFolder::Found::kFinished;
  if (done_) display_.Show(FinishedAlready(options_.out));
  return absl::OkStatus();
}

absl::Status Run::MakeTrainer() {
  auto trainer = DetectorTrainer::Make(
      source_.detector.network, TrainerOptions(plan_, options_.accumulation, source_.detector));
  if (!trainer.ok()) return trainer.status();
  trainer_ = *std::move(trainer);
  if (!resumed_) return absl::OkStatus();
  const std::string path = folder_->file("state.pth");
  const absl::StatusOr<SavedState> saved = LoadState(path);
  if (!saved.ok()) return saved.status();
  state_ = saved->run;
  return WithPrefix(path, trainer_->LoadStateDict(saved->tensors));
}

absl::Status Run::Announce(RunLog& log, History& history) {
  const auto say = [&](const char* name, const std::string& message) {
    const boost::json::object event = MakeEvent(name, message);
    history.Add(event);
    display_.Show(event);
    return log.Append(event);
  };
  if (resumed_) {
    return say("resumed", absl::StrCat("going on after step ", state_.step, " of ", plan_.steps()));
  }
  const TrainableDetector& detector = source_.detector;
  absl::Status status = say(
      "start",
      absl::StrCat(detector::ModelName(detector.network->config), ": ", data_.train.samples.size(),
                   " images to learn from, ", data_.validation.samples.size(), " to measure with; ",
                   detector.kept.size(), " classes are known, ", detector.added.size(), " new; ",
                   plan_.epochs, " epochs of ", plan_.steps_per_epoch, " steps"));
  for (const std::string& line : detector.warnings) {
    if (status.ok()) status = say("finding", line);
  }
  for (const std::string& line : data_.findings.Lines()) {
    if (status.ok()) status = say("finding", line);
  }
  return status;
}

absl::Status Run::Train() {
  History history;
  absl::StatusOr<RunLog> log =
      RunLog::Open(folder_->file("log.jsonl"), state_.log_bytes,
                   [&](const boost::json::object& event) { history.Add(event); });
  if (!log.ok()) return log.status();
  if (absl::Status status = Announce(*log, history); !status.ok()) return status;
  absl::Status status = files::WriteFile(folder_->file("config.py"), meta_.config_text);
  if (!status.ok()) return status;

  const bool masks = HasMasks();
  const std::string directory = folder_->file("data");
  const DatasetSource train(data_.train, directory, masks);
  const DatasetSource validation(data_.validation, directory, /*masks=*/false);
  const TrainingSequence sequence(
      train, recipe_,
      {.seed = options_.seed,
       .plain_from = static_cast<std::uint64_t>(plan_.epochs - plan_.plain_epochs) * train.size()});
  Session session({.folder = *folder_,
                   .log = *log,
                   .display = display_,
                   .history = history,
                   .trainer = *trainer_,
                   .sequence = sequence,
                   .train_truth = data_.train,
                   .names = data_.names,
                   .validation = validation,
                   .validation_truth = data_.validation,
                   .masks = masks,
                   .plan = plan_,
                   .settings = settings_,
                   .meta = meta_,
                   .palette = palette_,
                   .patience = options_.patience,
                   .save_every = absl::Minutes(options_.save_minutes),
                   .stop_requested = stop_requested_},
                  state_);
  if (absl::Status trained = session.Run(); !trained.ok()) return trained;
  return Finish(session, *log, history);
}

absl::Status Run::Finish(const Session& session, RunLog& log, History& history) {
  absl::StatusOr<std::string> message =
      WriteFinalReport({.folder = *folder_,
                        .model = detector::ModelName(source_.detector.network->config),
                        .from = options_.from,
                        .data = data_,
                        .plan = plan_,
                        .side = side_,
                        .masks = HasMasks(),
                        .options = options_,
                        .end = session.end(),
                        .state = session.state(),
                        .history = history});
  if (!message.ok()) return message.status();
  boost::json::object event = MakeEvent("end", *message);
  event["step"] = session.state().step;
  event["best_step"] = session.state().best_step;
  event["best_ap"] = session.state().best_ap < 0 ? boost::json::value(nullptr)
                                                 : boost::json::value(session.state().best_ap);
  if (absl::Status status = log.Append(event); !status.ok()) return status;
  display_.Show(event);
  return folder_->Finish();
}

}  // namespace

absl::Status RunTraining(const RunOptions& options, Display& display,
                         const std::function<bool()>& stop_requested) {
  return nn::CatchTorch("train", [&] { return Run(options, display, stop_requested).Do(); });
}

}  // namespace trainer
