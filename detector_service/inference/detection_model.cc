#include "detector_service/inference/detection_model.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <malloc.h>

#include <utility>

#include "checkpoint/checkpoint.h"
#include "checkpoint/content_hash.h"
#include "detector_service/config/class_names.h"
#include "detector_service/config/config_file.h"
#include "detector_service/families/family.h"
#include "detector_service/inference/packed_network.h"
#include "detector_service/inference/plain_network.h"
#include "detector_service/inference/preprocess.h"
#include "model_service/model_file.h"
#include "nn/compute_thread.h"
#include "nn/onednn/arithmetic_class.h"
#include "nn/onednn/cpu.h"
#include "nn/torch_status.h"

namespace detector {
namespace {

// Shapes of images. The network is compiled at first for what the first of them becomes that it can
// run.
constexpr vision::Size kUsualImages[] = {{640, 480}, {1920, 1080}, {640, 640}, {480, 640}};

// `status` with the path that it is about.
absl::Status WithPrefix(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::StatusOr<Placement> PlaceUsualImage(const DetectorSettings& settings) {
  for (const vision::Size& image : kUsualImages) {
    absl::StatusOr<Placement> placement = PlaceImage(image, settings);
    if (placement.ok()) return placement;
  }
  const absl::Status status = PlaceImage(kUsualImages[0], settings).status();
  return absl::FailedPreconditionError(status.message());
}

// Packed on a CPU, plain elsewhere and on CPUs that oneDNN has no fast kernels for.
absl::StatusOr<std::unique_ptr<Network>> MakeNetwork(const DetectorModules& modules,
                                                     vision::Size input_size, bool one_size,
                                                     const LoadOptions& options) {
  const bool bf16 = options.precision == "bf16";
  if (!bf16 && options.precision != "fp32" && options.precision != "fp32-strict") {
    return absl::InvalidArgumentError(
        absl::StrCat("--precision=", options.precision, ": must be fp32, fp32-strict or bf16"));
  }
  if (options.device != "cpu" || options.plain) {
    if (bf16) {
      return absl::UnimplementedError("--precision=bf16 needs --device=cpu and no --plain");
    }
    return MakePlainNetwork(modules, options.device);
  }
  if (bf16 && !nn::onednn::CpuHasBFloat16()) {
    return absl::FailedPreconditionError(
        "--precision=bf16: this CPU has no bf16 arithmetic (AVX512_BF16); use fp32");
  }
  auto packed =
      MakePackedNetwork(modules, input_size, {.precision = nn::onednn::FasterPrecision(bf16)},
                        one_size ? std::nullopt : std::optional(options.other_sizes_bytes));
  if (bf16 || !absl::IsUnimplemented(packed.status())) return packed;
  return MakePlainNetwork(modules, options.device);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DetectionModel>> DetectionModel::Load(const LoadOptions& options) {
  absl::StatusOr<std::unique_ptr<DetectionModel>> model = absl::InternalError("not built");
  const absl::Status thrown = nn::CatchTorch(
      "load the detector", [&] { nn::RunOnTemporaryThread([&] { model = Build(options); }); });
  malloc_trim(0);  // what building took, several times the weights, goes back to the system
  if (!thrown.ok()) return WithPrefix(options.checkpoint, thrown);
  return model;
}

absl::StatusOr<std::unique_ptr<DetectionModel>> DetectionModel::Build(const LoadOptions& options) {
  constexpr std::string_view kAnchors[] = {"backbone"};
  absl::StatusOr<checkpoint::Checkpoint> file = model_service::ReadCheckpoint(
      {options.checkpoint, options.checkpoint_root, options.checkpoint_handle}, kAnchors);
  if (!file.ok()) return file.status();
  const bool own_config = options.config_file.empty();
  const std::string& config_path = own_config ? options.checkpoint : options.config_file;
  const absl::StatusOr<PythonConfig> config =
      own_config ? ParsePythonConfig(file->meta.config_text)
                 : ReadConfigFile(options.config_file, options.config_root);
  if (!config.ok()) return config.status();

  auto model = std::unique_ptr<DetectionModel>(new DetectionModel);
  model->options_ = options;
  // The modules borrow the file's mapping.
  const absl::StatusOr<LoadedDetector> loaded =
      LoadDetector(file->state_dict, *config, nn::Memory::kBorrow, &model->notes_);
  if (!loaded.ok()) return WithPrefix(options.checkpoint, loaded.status());
  const absl::StatusOr<Placement> usual = model->TakeSettings(*config, loaded->defaults);
  if (!usual.ok()) return WithPrefix(config_path, usual.status());

  model->name_ = loaded->name;
  model->has_masks_ = loaded->head.has_masks();
  model->has_rotated_boxes_ = loaded->head.has_rotated_boxes();
  const int num_classes = loaded->head.num_classes;
  const absl::StatusOr<std::vector<std::string>> given = ReadClassesFlag(options.classes);
  if (!given.ok()) return given.status();
  absl::StatusOr<ClassNames> classes =
      ChooseClassNames(*given, file->meta.classes, *config, num_classes, model->has_rotated_boxes_);
  if (!classes.ok()) return WithPrefix(config_path, classes.status());
  model->classes_ = std::move(classes->names);
  model->notes_.insert(model->notes_.end(), classes->notes.begin(), classes->notes.end());
  for (const auto& [name, view] : file->state_dict) model->parameter_count_ += view.NumElements();
  // The whole config, whether it is read or not: the version then holds when more of it is read.
  model->NameVersion(file->content_hash,
                     absl::StrCat(Canonical(config->values), "\n", absl::StrJoin(*given, "\n")));

  const bool one_size = HasOneInputSize(model->settings_);
  absl::StatusOr<std::unique_ptr<Network>> network =
      MakeNetwork(loaded->modules, usual->input, one_size, options);
  if (!network.ok()) return network.status();
  model->network_ = *std::move(network);
  if (!one_size) model->file_ = *std::move(file);
  return model;
}

absl::StatusOr<Placement> DetectionModel::TakeSettings(const PythonConfig& config,
                                                       const DetectorSettings& defaults) {
  absl::StatusOr<DetectorSettings> settings =
      ReadSettings(config, defaults, &notes_, options_.input_size);
  if (!settings.ok()) return settings.status();
  absl::StatusOr<Placement> usual = PlaceUsualImage(*settings);
  if (!usual.ok()) return usual.status();
  usual_image_ = usual->image;
  evaluation_score_threshold_ = settings->score_threshold;
  settings->score_threshold = options_.score_threshold;
  settings->max_per_img = options_.max_detections.value_or(settings->max_per_img);
  settings->nms_iou_threshold = options_.nms_iou_threshold.value_or(settings->nms_iou_threshold);
  settings_ = *std::move(settings);
  return usual;
}

void DetectionModel::NameVersion(std::string_view content_hash, std::string_view config) {
  // MakeNetwork packs for a CPU in just this precision, or fails.
  const bool may_be_bf16 =
      options_.precision == "bf16" && options_.device == "cpu" && !options_.plain;
  const nn::onednn::Precision precision = nn::onednn::FasterPrecision(may_be_bf16);
  bf16_ = precision == nn::onednn::Precision::kBFloat16;
  version_ = absl::StrCat(
      name_, "-", std::string(content_hash.substr(0, 12)), "-",
      nn::onednn::ArithmeticClass(options_.device, precision), "-",
      checkpoint::HashBytes(absl::StrCat(settings_.Fingerprint(), "\n", std::string(config)))
          .substr(0, 8));
}

absl::StatusOr<std::vector<Detection>> DetectionModel::Detect(const cv::Mat& image,
                                                              const DetectOptions& options) {
  // Whatever is below may throw: the allocator, OpenCV, oneDNN.
  return nn::CatchTorch("detect", [&] { return FitAndDetect(image, options); });
}

absl::StatusOr<std::vector<Detection>> DetectionModel::FitAndDetect(const cv::Mat& image,
                                                                    const DetectOptions& options) {
  Placement placement;
  const absl::StatusOr<cv::Mat> fitted = FitImage(image, settings_, &placement);
  if (!fitted.ok()) return fitted.status();
  PostprocessOptions post = {
      .rule = settings_.rule,
      .score_threshold = options.score_threshold.value_or(settings_.score_threshold),
      .multi_label = settings_.multi_label,
      .nms_pre = settings_.nms_pre,
      .min_bbox_size = settings_.min_bbox_size,
      .nms_iou_threshold = options.nms_iou_threshold.value_or(settings_.nms_iou_threshold),
      .class_agnostic = options.class_agnostic.value_or(settings_.class_agnostic),
      .nms_split_threshold = settings_.nms_split_threshold,
      .max_detections = options.max_detections.value_or(settings_.max_per_img),
      .clip_to_image = options.clip_to_image,
      .draw_masks = !options.omit_masks,
      .mask_threshold = settings_.mask_threshold};
  if (!options.class_ids.empty()) {
    post.wanted_classes.resize(classes_.size(), false);
    for (int id : options.class_ids) post.wanted_classes[id] = true;
  }

  absl::StatusOr<std::vector<Detection>> detections = absl::InternalError("not computed");
  nn::RunOnComputeThread([&] {
    const vision::Size size = placement.input;
    input_.resize(static_cast<std::size_t>(3) * size.width * size.height);
    Normalize(*fitted, settings_, size, input_.data());
    const absl::Status ran = network_->Run(input_.data(), size, &output_);
    if (ran.ok()) {
      detections = Postprocess(output_, placement, post);
    } else {
      detections = ran;
    }
  });
  return detections;
}

absl::Status DetectionModel::WarmUp() {
  const cv::Mat grey(usual_image_.height, usual_image_.width, CV_8UC3, cv::Scalar::all(114));
  return Detect(grey, {}).status();
}

}  // namespace detector
