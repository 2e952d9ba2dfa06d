#include "detector_service/rtmdet/rtmdet_config.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "checkpoint/tensor_index.h"
#include "detector_service/config/config_reader.h"
#include "detector_service/config/network_settings.h"

namespace detector {
namespace {

struct OfficialSize {
  const char* name;
  double widen;
  double deepen;
};
constexpr OfficialSize kOfficialSizes[] = {{"nano", 0.25, 0.33}, {"tiny", 0.375, 0.167},
                                           {"s", 0.5, 0.33},     {"m", 0.75, 0.67},
                                           {"l", 1.0, 1.0},      {"x", 1.25, 1.33}};

constexpr int kOfficialMaskConvs = 4;

// From this many neck channels on (m), the official heads predict the logarithm of distances.
constexpr int kExpOnRegFromChannels = 192;

// Python's round(): half to even, which is how std::nearbyint rounds by default.
int Blocks(int base, double deepen) {
  return std::max(static_cast<int>(std::nearbyint(base * deepen)), 1);
}

bool SameNumbers(const checkpoint::TensorView& a, const checkpoint::TensorView& b) {
  if (a.data == b.data) return true;
  return a.shape == b.shape && a.dtype == b.dtype && a.IsContiguous() && b.IsContiguous() &&
         std::memcmp(a.data, b.data, a.NumElements() * checkpoint::SizeOf(a.dtype)) == 0;
}

// Where the weights of the convolution unit at `name` are that give its output: in one piece or, if
// the unit is depthwise separable, in its second part.
std::string UnitConv(const checkpoint::TensorIndex& tensors, const std::string& name) {
  const std::string pointwise = name + ".pointwise_conv.conv";
  return tensors.Has(pointwise + ".weight") ? pointwise : name + ".conv";
}

bool IsDepthwise(const checkpoint::TensorIndex& tensors, const std::string& name) {
  return tensors.Has(name + ".depthwise_conv.conv.weight");
}

// How many blocks the CSP layer at `name` has: each ends in a separable 5×5.
int CountBlocks(const checkpoint::TensorIndex& tensors, const std::string& name) {
  return tensors.Count(name + ".blocks.", ".conv2.pointwise_conv.conv.weight");
}

// What the file holds instead of an RTMDet that is supported, for the error.
std::string Describe(const checkpoint::TensorIndex& tensors, const std::string& head) {
  if (tensors.OutChannels(head + "rtm_kernel.0") > 0) {
    return absl::StrCat(
        "it holds an RTMDet-Ins in MMYOLO's naming or with mask kernels of another "
        "shape than ",
        kMaskKernelSize, " weights over ", kMaskFeatures, " features");
  }
  if (tensors.OutChannels(head + "rtm_ang.0") > 1) {
    return "it holds an RTMDet-R that codes angles in several channels, which is not supported";
  }
  if (tensors.HasPrefix(head + "rtm_obj.")) {
    return "it holds an RTMDet with objectness, which is not supported";
  }
  return "it holds a part of an RTMDet but not the whole detector";
}

// As mmengine's fuse_conv_bn, MMDeploy and others leave it: the stem has a bias, no batch norm.
bool IsFused(const checkpoint::TensorIndex& tensors) {
  return tensors.Has("backbone.stem.0.conv.bias") && !tensors.HasPrefix("backbone.stem.0.bn.");
}

// By what only that kind of head has. `head`: where its modules are.
HeadKind KindOf(const checkpoint::TensorIndex& tensors, const std::string& head) {
  if (tensors.OutChannels(head + "rtm_kernel.0") > 0) return HeadKind::kInstances;
  if (tensors.OutChannels(head + "rtm_ang.0") > 0) return HeadKind::kRotated;
  return HeadKind::kBoxes;
}

// Whether what the kind of head adds has the one shape that is implemented.
bool IsSupported(const RtmdetConfig& config, const checkpoint::TensorIndex& tensors,
                 const std::string& head) {
  switch (config.head) {
    case HeadKind::kBoxes:
      return tensors.OutChannels(head + "rtm_obj.0") == 0;
    case HeadKind::kInstances:
      return config.naming == Naming::kMmdet &&
             tensors.OutChannels(head + "rtm_kernel.0") == kMaskKernelSize &&
             tensors.OutChannels(head + "mask_head.projection") == kMaskFeatures;
    case HeadKind::kRotated:
      return tensors.OutChannels(head + "rtm_ang.0") == 1;
  }
  return false;
}

// What the config of the training says of what no tensor shows.
absl::Status ReadTraining(const PythonConfig& training, RtmdetConfig* config) {
  const absl::StatusOr<NetworkSettings> settings =
      ReadNetworkSettings(training, DefaultSettings(*config).rule);
  if (!settings.ok()) return settings.status();
  const auto refuse = [](const std::string& what) {
    return absl::FailedPreconditionError(absl::StrCat("model config: ", what));
  };
  const PartSettings* const parts[] = {&settings->backbone, &settings->neck, &settings->head};
  constexpr const char* kParts[] = {"backbone", "neck", "bbox_head"};
  for (int i = 0; i < 3; ++i) {
    const std::string activation = parts[i]->activation.value_or("SiLU");
    if (activation != "SiLU") {
      return refuse(absl::StrCat(kParts[i], " act_cfg = ", activation,
                                 " is not supported in RTMDet, only SiLU"));
    }
    config->bn_eps[i] = parts[i]->bn_eps.value_or(config->bn_eps[i]);
    config->bn_momentum[i] = parts[i]->bn_momentum.value_or(config->bn_momentum[i]);
  }
  config->point = static_cast<float>(settings->point.value_or(0));
  if (config->head == HeadKind::kInstances && config->point != 0) {
    return refuse("anchor_generator offset is not supported in RTMDet-Ins, only 0");
  }
  const std::string coder =
      config->head == HeadKind::kRotated ? "DistanceAnglePointCoder" : "DistancePointBBoxCoder";
  if (!settings->box_coder.empty() && settings->box_coder != coder) {
    return refuse(absl::StrCat("bbox_coder type '", settings->box_coder,
                               "' is not supported in this model, only ", coder));
  }
  const PythonValue* exp_on_reg = training.values.Find({"model", "bbox_head", "exp_on_reg"});
  if (config->naming == Naming::kMmyolo || config->head == HeadKind::kInstances) {
    config->exp_on_reg = false;
    return absl::OkStatus();
  }
  ConfigReader reader;
  config->exp_on_reg = config->neck_channels >= kExpOnRegFromChannels;
  reader.Bool(exp_on_reg, "bbox_head exp_on_reg", &config->exp_on_reg);
  return reader.status();
}

}  // namespace

RtmdetConfig ScaledRtmdet(double widen, double deepen, int num_classes, HeadKind head) {
  // int(): truncation, as in Python; the stem halves with //.
  const auto width = [&](int base) { return static_cast<int>(base * widen); };
  RtmdetConfig config;
  config.stem_channels = static_cast<int>(std::floor(64 * widen / 2));
  config.stem_out_channels = width(64);
  config.stage_channels = {width(128), width(256), width(512), width(1024)};
  config.stage_blocks = {Blocks(3, deepen), Blocks(6, deepen), Blocks(6, deepen),
                         Blocks(3, deepen)};
  config.neck_blocks = Blocks(3, deepen);
  config.neck_channels = width(256);
  config.head_channels = width(256);
  config.num_classes = num_classes;
  config.head = head;
  config.exp_on_reg = head != HeadKind::kInstances && config.neck_channels >= kExpOnRegFromChannels;
  config.mask_convs = head == HeadKind::kInstances ? kOfficialMaskConvs : 0;
  return config;
}

const RtmdetNames& NamesOf(Naming naming) {
  static constexpr RtmdetNames kMmdet = {
      .reduce = {"neck.reduce_layers.0", "neck.reduce_layers.1"},
      .top_down = {"neck.top_down_blocks.0", "neck.top_down_blocks.1"},
      .downsample = "neck.downsamples",
      .bottom_up = "neck.bottom_up_blocks",
      .out = "neck.out_convs",
      .head = "bbox_head"};
  static constexpr RtmdetNames kMmyolo = {
      .reduce = {"neck.reduce_layers.2", "neck.top_down_layers.0.1"},
      .top_down = {"neck.top_down_layers.0.0", "neck.top_down_layers.1"},
      .downsample = "neck.downsample_layers",
      .bottom_up = "neck.bottom_up_layers",
      .out = "neck.out_layers",
      .head = "bbox_head.head_module"};
  return naming == Naming::kMmdet ? kMmdet : kMmyolo;
}

DetectorSettings DefaultSettings(const RtmdetConfig& config) {
  const bool mmyolo = config.naming == Naming::kMmyolo;
  DetectorSettings settings;
  if (mmyolo) {
    settings.rule = PostprocessRule::kMmyolo;
    settings.min_bbox_size = -1;
  }
  switch (config.head) {
    case HeadKind::kBoxes:
      // The official depthwise models find people and hands for RTMPose, at this size.
      if (config.depthwise.backbone) settings.input_size = {320, 320};
      if (mmyolo) settings.resize = Resize::kLetterbox;
      break;
    case HeadKind::kInstances:
      settings.score_threshold = 0.05;
      settings.nms_pre = 1000;
      settings.nms_iou_threshold = 0.6;
      settings.max_per_img = 100;
      break;
    case HeadKind::kRotated:
      settings.input_size = {1024, 1024};
      settings.score_threshold = 0.05;
      if (!mmyolo) settings.nms_pre = 2000;
      settings.nms_iou_threshold = 0.1;
      settings.max_per_img = 2000;
      break;
  }
  return settings;
}

bool IsRtmdet(const checkpoint::TensorIndex& tensors) {
  return tensors.OutChannels("bbox_head.rtm_cls.0") > 0 ||
         tensors.OutChannels("bbox_head.head_module.rtm_cls.0") > 0;
}

absl::StatusOr<RtmdetConfig> InferConfig(const checkpoint::StateDict& state_dict,
                                         const PythonConfig& training) {
  const checkpoint::TensorIndex tensors(state_dict);
  if (IsFused(tensors)) {
    return absl::FailedPreconditionError(
        "it holds an RTMDet that was fused for deployment (its batch norms are folded into the "
        "convolutions' weights and biases); the checkpoint that training wrote is needed");
  }
  RtmdetConfig config;
  if (tensors.OutChannels("bbox_head.head_module.rtm_cls.0") > 0) config.naming = Naming::kMmyolo;
  const RtmdetNames& names = NamesOf(config.naming);
  const std::string head = absl::StrCat(names.head, ".");
  config.stem_channels = tensors.OutChannels("backbone.stem.0.conv");
  config.stem_out_channels = tensors.OutChannels("backbone.stem.2.conv");
  for (int stage = 0; stage < 4; ++stage) {
    const std::string name = absl::StrCat("backbone.stage", stage + 1);
    config.stage_channels[stage] = tensors.OutChannels(UnitConv(tensors, name + ".0"));
    config.stage_blocks[stage] = CountBlocks(tensors, name + (stage == 3 ? ".2" : ".1"));
  }
  const std::string out = absl::StrCat(names.out, ".0");
  const std::string tower = head + "cls_convs.0.0";
  config.depthwise = {.backbone = IsDepthwise(tensors, "backbone.stage1.0"),
                      .neck = IsDepthwise(tensors, out),
                      .head = IsDepthwise(tensors, tower)};
  config.neck_channels = tensors.OutChannels(UnitConv(tensors, out));
  config.neck_blocks = CountBlocks(tensors, names.top_down[0]);
  config.head_channels = tensors.OutChannels(UnitConv(tensors, tower));
  config.stacked_convs = tensors.Count(head + "cls_convs.0.");
  config.num_classes = tensors.OutChannels(head + "rtm_cls.0");
  config.head = KindOf(tensors, head);
  config.mask_convs = tensors.Count(head + "mask_head.stacked_convs.", ".conv.weight");

  const auto tower_weight = [&](int level) {
    return tensors.Find(UnitConv(tensors, absl::StrCat(head, "cls_convs.", level, ".0")) +
                        ".weight");
  };
  const checkpoint::TensorView* first = tower_weight(0);
  const checkpoint::TensorView* second = tower_weight(1);
  const bool complete = config.stem_channels > 0 && config.stem_out_channels > 0 &&
                        config.neck_channels > 0 && config.neck_blocks > 0 &&
                        config.head_channels > 0 && config.num_classes > 0 &&
                        std::all_of(config.stage_channels.begin(), config.stage_channels.end(),
                                    [](int channels) { return channels > 1; }) &&
                        std::all_of(config.stage_blocks.begin(), config.stage_blocks.end(),
                                    [](int blocks) { return blocks > 0; }) &&
                        first != nullptr && second != nullptr;
  if (!complete || !IsSupported(config, tensors, head)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "these are not the weights of a supported detector: ", Describe(tensors, head)));
  }
  config.share_conv = !config.depthwise.head && SameNumbers(*first, *second);
  if (absl::Status read = ReadTraining(training, &config); !read.ok()) return read;
  return config;
}

std::string ModelName(const RtmdetConfig& config) {
  const std::string family = config.head == HeadKind::kInstances ? "rtmdet-ins"
                             : config.head == HeadKind::kRotated ? "rtmdet-r"
                                                                 : "rtmdet";
  for (const OfficialSize& size : kOfficialSizes) {
    const RtmdetConfig official = ScaledRtmdet(size.widen, size.deepen, config.num_classes);
    if (official.stage_channels == config.stage_channels &&
        official.stage_blocks == config.stage_blocks &&
        official.neck_channels == config.neck_channels) {
      return absl::StrCat(family, "-", size.name);
    }
  }
  return family;
}

}  // namespace detector
