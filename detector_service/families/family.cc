#include "detector_service/families/family.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <limits>
#include <optional>
#include <utility>

#include "detector_service/config/network_settings.h"
#include "detector_service/families/networks.h"
#include "nn/torch_status.h"
#include "vision/imagenet.h"

namespace detector {
namespace {

constexpr int kUnlimited = std::numeric_limits<int>::max();

// mmyolo's letterbox, x / 255, RGB.
DetectorSettings Letterboxed(double nms_iou_threshold) {
  return {.resize = Resize::kLetterbox,
          .mean = {0, 0, 0},
          .std = {255, 255, 255},
          .bgr_to_rgb = true,
          .rule = PostprocessRule::kMmyolo,
          .min_bbox_size = -1,
          .nms_iou_threshold = nms_iou_threshold};
}

DetectorSettings YoloDefaults(const checkpoint::TensorIndex& /*tensors*/) {
  return Letterboxed(0.65);
}

DetectorSettings Yolov8Defaults(const checkpoint::TensorIndex& /*tensors*/) {
  return Letterboxed(0.7);
}

// Pixels as they are.
DetectorSettings YoloxDefaults(const checkpoint::TensorIndex& tensors) {
  constexpr int kTinyChannels = 24;  // of the stem; nano has fewer
  const bool small = tensors.OutChannels("backbone.stem.conv.conv") <= kTinyChannels;
  const int side = small ? 416 : 640;
  return {.resize = Resize::kFit,
          .input_size = {side, side},
          .mean = {0, 0, 0},
          .std = {1, 1, 1},
          .rule = PostprocessRule::kMmyolo,
          .nms_pre = 100000,
          .min_bbox_size = -1,
          .max_per_img = kUnlimited,
          .yolox_style = true};
}

// Only PPYOLOE+ has learnt weights in its RepVGG blocks, and does without ImageNet's mean.
bool IsPlus(const checkpoint::TensorIndex& tensors) {
  return tensors.Has("backbone.stage1.0.blocks.0.conv2.alpha");
}

DetectorSettings PpyoloeDefaults(const checkpoint::TensorIndex& tensors) {
  DetectorSettings settings = Letterboxed(0.7);
  settings.resize = Resize::kStretch;
  settings.interpolation = Interpolation::kBicubic;
  settings.score_threshold = 0.01;
  settings.nms_pre = 1000;
  if (!IsPlus(tensors)) {
    settings.mean = vision::kImageNetMean;
    settings.std = vision::kImageNetStd;
  }
  return settings;
}

Activation Silu(const checkpoint::TensorIndex& /*tensors*/) { return Activation::kSilu; }

// RepVGG models have ReLU, those of plain convolutions (the large ones) SiLU.
Activation Yolov6Activation(const checkpoint::TensorIndex& tensors) {
  return tensors.Has("backbone.stem.block.conv.weight") ? Activation::kSilu : Activation::kRelu;
}

Activation Yolov7Activation(const checkpoint::TensorIndex& tensors) {
  const bool tiny = tensors.Has("backbone.stage1.0.short_conv.conv.weight");
  return tiny ? Activation::kLeakyRelu : Activation::kSilu;
}

struct Family {
  const char* mark;  // a tensor below bbox_head.head_module.; the first row whose mark exists wins
  const char* name;
  void (*build)(BlueprintBuilder&, const PythonConfig&);
  DetectorSettings (*defaults)(const checkpoint::TensorIndex&);
  Activation (*activation)(const checkpoint::TensorIndex&);
  double bn_eps;
  // Whose output channels tell the size, and how many the size "l" has.
  const char* width;
  int large;
};

constexpr Family kFamilies[] = {
    {"cls_stems.0.fc.weight", "ppyoloe", BuildPpyoloe, PpyoloeDefaults, Silu, 1e-5,
     "backbone.stem.0.conv", 32},
    {"stems.0.conv.weight", "yolov6", BuildYolov6, YoloDefaults, Yolov6Activation, 1e-3,
     "neck.reduce_layers.2.conv", 256},
    {"convs_pred.0.0.implicit", "yolov7", BuildYolov7, YoloDefaults, Yolov7Activation, 1e-3,
     "backbone.stem.0.conv", 32},
    {"convs_pred.0.weight", "yolov5", BuildYolov5, YoloDefaults, Silu, 1e-3, "backbone.stem.conv",
     64},
    {"multi_level_conv_obj.0.weight", "yolox", BuildYolox, YoloxDefaults, Silu, 1e-3,
     "backbone.stem.conv.conv", 64},
    {"cls_preds.0.2.weight", "yolov8", BuildYolov8, Yolov8Defaults, Silu, 1e-3,
     "backbone.stem.conv", 64},
};

constexpr char kHead[] = "bbox_head.head_module.";

const Family* FindFamily(const checkpoint::TensorIndex& tensors) {
  for (const Family& family : kFamilies) {
    if (tensors.Has(absl::StrCat(kHead, family.mark))) return &family;
  }
  return nullptr;
}

struct Unsupported {
  const char* prefix;  // of a tensor's name
  const char* what;
};

// Looked for before the marks of the families, which some of these have as well.
constexpr Unsupported kUnsupported[] = {
    {"backbone.stage5.", "a P6 model (four levels, 1280 pixels)"},
    {"bbox_head.head_module.main_convs_pred.", "a P6 model of YOLOv7 (four levels, 1280 pixels)"},
    {"bbox_head.head_module.proto_pred.", "YOLOv5-ins (instance masks)"},
    {"bbox_head.head_module.multi_level_conv_vis.", "YOLOX-Pose"},
    {"bbox_head.head_module.multi_level_pose_convs.", "YOLOX-Pose"},
    {"bbox_head.multi_level_conv_obj.", "YOLOX in MMDetection's naming (MMYOLO's is supported)"},
};

const Unsupported* FindUnsupported(const checkpoint::TensorIndex& tensors) {
  for (const Unsupported& row : kUnsupported) {
    if (tensors.HasPrefix(row.prefix)) return &row;
  }
  return nullptr;
}

// "-s" of an official width.
std::string SizeSuffix(int channels, int large) {
  constexpr std::pair<const char*, double> kSizes[] = {{"-n", 0.25}, {"-t", 0.375}, {"-s", 0.5},
                                                       {"-m", 0.75}, {"-l", 1},     {"-x", 1.25}};
  for (const auto& [suffix, widen] : kSizes) {
    if (channels == static_cast<int>(large * widen)) return suffix;
  }
  return "";
}

std::string NameOf(const Family& family, const checkpoint::TensorIndex& tensors) {
  std::string name = family.name;
  if (family.build == BuildPpyoloe && IsPlus(tensors)) name += "-plus";
  if (family.build == BuildYolov8 && tensors.Has("backbone.stage1.1.short_conv.conv.weight")) {
    name = "yolov5u";
  }
  if (family.build == BuildYolov7 && family.activation(tensors) == Activation::kLeakyRelu) {
    return name + "-tiny";
  }
  const std::string size = SizeSuffix(tensors.OutChannels(family.width), family.large);
  if (family.build == BuildYolox && size == "-n") return name + "-nano";
  if (family.build == BuildYolox && size == "-t") return name + "-tiny";
  return name + size;
}

// What the packed and the plain form can compute, by mmcv's names.
absl::StatusOr<Activation> ActivationOf(const std::string& name, const char* part) {
  constexpr std::pair<std::string_view, Activation> kNames[] = {
      {"SiLU", Activation::kSilu},
      {"ReLU", Activation::kRelu},
      {"LeakyReLU(0.1)", Activation::kLeakyRelu}};
  for (const auto& [known, activation] : kNames) {
    if (known == name) return activation;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("model config: ", part, " act_cfg = ", name,
                   " is not supported, only SiLU, ReLU and LeakyReLU(0.1)"));
}

// YOLOv6 has several activations in one part, so they are as the tensors tell, or not supported.
absl::Status CheckYolov6(const NetworkSettings& settings, Activation blocks) {
  const std::string name = blocks == Activation::kSilu ? "SiLU" : "ReLU";
  const std::pair<const char*, std::pair<std::optional<std::string>, std::string>> kWanted[] = {
      {"backbone act_cfg", {settings.backbone.activation, name}},
      {"neck act_cfg", {settings.neck.activation, "ReLU"}},
      {"neck block_act_cfg", {settings.block_activation, name}},
      {"head_module act_cfg", {settings.head.activation, "SiLU"}}};
  for (const auto& [key, values] : kWanted) {
    if (values.first && *values.first != values.second) {
      return absl::FailedPreconditionError(absl::StrCat("model config: ", key, " = ", *values.first,
                                                        " is not supported in this model, only ",
                                                        values.second));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<PartActivations> ActivationsOf(const Family& family,
                                              const checkpoint::TensorIndex& tensors,
                                              const NetworkSettings& settings) {
  const Activation standard = family.activation(tensors);
  PartActivations activations{standard, standard, standard};
  if (family.build == BuildYolov6) {
    if (absl::Status checked = CheckYolov6(settings, standard); !checked.ok()) return checked;
    return activations;
  }
  const std::pair<const char*, std::pair<const PartSettings*, Activation*>> kParts[] = {
      {"backbone", {&settings.backbone, &activations.backbone}},
      {"neck", {&settings.neck, &activations.neck}},
      {"head_module", {&settings.head, &activations.head}}};
  for (const auto& [part, pair] : kParts) {
    if (!pair.first->activation) continue;
    const absl::StatusOr<Activation> found = ActivationOf(*pair.first->activation, part);
    if (!found.ok()) return found.status();
    *pair.second = *found;
  }
  return activations;
}

absl::Status CheckBoxCoder(const std::string& coder, BoxCode code) {
  const char* const wanted = code == BoxCode::kAnchors      ? "YOLOv5BBoxCoder"
                             : code == BoxCode::kCentreSize ? "YOLOXBBoxCoder"
                                                            : "DistancePointBBoxCoder";
  if (coder.empty() || coder == wanted) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "model config: bbox_coder type '", coder, "' is not supported in this model, only ", wanted));
}

absl::StatusOr<Blueprint> BuildBlueprint(const Family& family,
                                         const checkpoint::TensorIndex& tensors,
                                         const checkpoint::StateDict& state_dict,
                                         const PythonConfig& training,
                                         std::vector<std::string>* warnings) {
  const absl::StatusOr<NetworkSettings> settings =
      ReadNetworkSettings(training, PostprocessRule::kMmyolo, warnings);
  if (!settings.ok()) return settings.status();
  const absl::StatusOr<PartActivations> activations = ActivationsOf(family, tensors, *settings);
  if (!activations.ok()) return activations.status();
  BlueprintBuilder builder(tensors, *activations);
  family.build(builder, training);
  absl::StatusOr<Blueprint> blueprint = std::move(builder).Finish();
  if (!blueprint.ok()) return blueprint;
  BoxCoding& coding = blueprint->head.coding;
  if (absl::Status checked = CheckBoxCoder(settings->box_coder, coding.code); !checked.ok()) {
    return checked;
  }
  if (settings->point) coding.point = static_cast<float>(*settings->point);
  blueprint->bn_eps = {.backbone = settings->backbone.bn_eps.value_or(family.bn_eps),
                       .neck = settings->neck.bn_eps.value_or(family.bn_eps),
                       .head = settings->head.bn_eps.value_or(family.bn_eps)};
  for (const auto& [name, view] : state_dict) blueprint->state_names.push_back(name);
  return blueprint;
}

absl::StatusOr<LoadedDetector> LoadFromBlueprint(const Family& family,
                                                 const checkpoint::TensorIndex& tensors,
                                                 const checkpoint::StateDict& state_dict,
                                                 const PythonConfig& training, nn::Memory memory,
                                                 std::vector<std::string>* warnings) {
  const std::string name = NameOf(family, tensors);
  absl::StatusOr<Blueprint> blueprint =
      BuildBlueprint(family, tensors, state_dict, training, warnings);
  if (!blueprint.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(name, ": ", blueprint.status().message()));
  }
  return nn::CatchTorch("build the detector", [&]() -> absl::StatusOr<LoadedDetector> {
    BlueprintModule module = [&] {
      const nn::SkipInitialization skip;
      return BlueprintModule(*std::move(blueprint));
    }();
    const absl::Status loaded =
        nn::LoadStateDict(state_dict, *module,
                          {.memory = memory, .ignored_prefixes = {"data_preprocessor.", "ema_"}});
    if (!loaded.ok()) return loaded;
    module->eval();
    return LoadedDetector{name, family.defaults(tensors), module->blueprint.head, module};
  });
}

absl::StatusOr<LoadedDetector> LoadRtmdetFamily(const checkpoint::StateDict& state_dict,
                                                const PythonConfig& training, nn::Memory memory,
                                                std::vector<std::string>* warnings) {
  absl::StatusOr<Rtmdet> model = LoadRtmdet(state_dict, training, memory);
  if (!model.ok()) return model.status();
  const RtmdetConfig& config = (*model)->config;
  // Read once more for its warnings; what it says is in the model.
  const auto settings = ReadNetworkSettings(training, DefaultSettings(config).rule, warnings);
  if (!settings.ok()) return settings.status();
  const PythonValue* head = training.values.Find({"model", "bbox_head"});
  if (warnings != nullptr && config.exp_on_reg && head != nullptr && head->dict() != nullptr &&
      head->Find("exp_on_reg") == nullptr) {
    warnings->push_back(
        "bbox_head has no exp_on_reg: it is taken for True, as in the official models of this "
        "size and larger ones; the reference takes it for False");
  }
  return LoadedDetector{ModelName(config), DefaultSettings(config), LayoutOf(config), *model};
}

// What a file of no known family holds.
std::string Describe(const checkpoint::StateDict& state_dict,
                     const checkpoint::TensorIndex& tensors) {
  if (tensors.HasPrefix("image_encoder.") || tensors.HasPrefix("mask_decoder.")) {
    return "it holds Segment Anything's weights, which duet-segmenter loads";
  }
  if (tensors.HasPrefix(kHead)) return "it holds another model of MMYOLO, which is not supported";
  if (tensors.HasPrefix("backbone.") && tensors.Has("backbone.stem.0.conv.weight")) {
    return "it holds CSPNeXt's backbone but not the whole detector";
  }
  if (state_dict.empty()) return "it holds no tensors";
  return absl::StrCat("its first tensor is '", state_dict.front().first, "'");
}

}  // namespace

absl::StatusOr<LoadedDetector> LoadDetector(const checkpoint::StateDict& state_dict,
                                            const PythonConfig& training, nn::Memory memory,
                                            std::vector<std::string>* warnings) {
  const checkpoint::TensorIndex tensors(state_dict);
  if (const Unsupported* row = FindUnsupported(tensors)) {
    return absl::FailedPreconditionError(
        absl::StrCat("it holds ", row->what, ", which is not supported"));
  }
  if (IsRtmdet(tensors)) return LoadRtmdetFamily(state_dict, training, memory, warnings);
  if (const Family* family = FindFamily(tensors)) {
    return LoadFromBlueprint(*family, tensors, state_dict, training, memory, warnings);
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "these are not the weights of a supported detector: ", Describe(state_dict, tensors)));
}

}  // namespace detector
