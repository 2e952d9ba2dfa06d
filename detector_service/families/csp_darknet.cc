// YOLOv5, YOLOv8 and YOLOX: one backbone and neck of CSP layers, three heads.
#include <absl/strings/str_cat.h>

#include "detector_service/families/heads.h"
#include "detector_service/families/networks.h"

namespace detector {
namespace {

// From the stem's result: four stages of a stride-2 convolution and a CSP layer, in the last one
// with a spatial pyramid.
std::array<FeatureMap, 4> Stages(BlueprintBuilder& builder, FeatureMap x) {
  std::array<FeatureMap, 4> maps;
  for (int i = 0; i < 4; ++i) {
    const std::string stage = absl::StrCat("backbone.stage", i + 1);
    x = builder.ConvModule(stage + ".0", x, {.stride = 2});
    if (builder.tensors().Has(stage + ".1.conv2.conv.weight")) {  // YOLOX: pyramid first
      x = Spp(builder, stage + ".1", x, builder.activation(stage));
      x = Csp(builder, stage + ".2", x, /*identity=*/false);
    } else {
      x = Csp(builder, stage + ".1", x, /*identity=*/true);
      if (i == 3) x = Spp(builder, stage + ".2", x, builder.activation(stage));
    }
    maps[i] = x;
  }
  return maps;
}

FeatureMaps Neck(BlueprintBuilder& builder, const std::array<FeatureMap, 4>& c) {
  const auto layer = [](const char* kind, int i) { return absl::StrCat("neck.", kind, ".", i); };
  const bool reduces = builder.tensors().Has("neck.reduce_layers.2.conv.weight");
  const FeatureMap coarsest = reduces ? builder.ConvModule("neck.reduce_layers.2", c[3]) : c[3];
  return Aggregate(
      builder, coarsest,
      {.join =
           [&](FeatureMap coarse, int step) {
             return builder.Concat({builder.Upsample(coarse), c[2 - step]});
           },
       .top_down =
           [&](FeatureMap joined, int step) {
             const std::string name = layer("top_down_layers", step);
             if (!builder.tensors().Has(name + ".0.main_conv.conv.weight")) {
               return Csp(builder, name, joined, /*identity=*/false);
             }
             const FeatureMap y = Csp(builder, name + ".0", joined, /*identity=*/false);
             return builder.ConvModule(name + ".1", y);
           },
       .downsample =
           [&](FeatureMap fine, int step) {
             return builder.ConvModule(layer("downsample_layers", step), fine, {.stride = 2});
           },
       .bottom_up =
           [&](FeatureMap joined, int step) {
             return Csp(builder, layer("bottom_up_layers", step), joined, /*identity=*/false);
           }});
}

}  // namespace

void BuildYolov5(BlueprintBuilder& builder, const PythonConfig& config) {
  const FeatureMap stem = builder.ConvModule("backbone.stem", builder.Input(), {.stride = 2});
  static const Anchors kAnchors = {{{{10, 13}, {16, 30}, {33, 23}},
                                    {{30, 61}, {62, 45}, {59, 119}},
                                    {{116, 90}, {156, 198}, {373, 326}}}};
  AnchorHead(builder, Neck(builder, Stages(builder, stem)), config, kAnchors);
}

void BuildYolov8(BlueprintBuilder& builder, const PythonConfig& /*config*/) {
  const FeatureMap stem = builder.ConvModule("backbone.stem", builder.Input(), {.stride = 2});
  const FeatureMaps maps = Neck(builder, Stages(builder, stem));
  std::array<Branches, kLevels> levels;
  for (int i = 0; i < kLevels; ++i) {
    const auto branch = [&](const char* kind) {
      const std::string name = absl::StrCat("bbox_head.head_module.", kind, "_preds.", i, ".");
      const FeatureMap x = builder.ConvModule(name + "0", maps[i]);
      return builder.Conv(name + "2", builder.ConvModule(name + "1", x));
    };
    levels[i] = {branch("cls"), branch("reg")};
  }
  DistanceHead(builder, levels);
}

void BuildYolox(BlueprintBuilder& builder, const PythonConfig& /*config*/) {
  const FeatureMap stem =
      builder.ConvModule("backbone.stem.conv", builder.SpaceToDepth(builder.Input()));
  FeatureMaps maps = Neck(builder, Stages(builder, stem));
  for (int i = 0; i < kLevels; ++i) {
    maps[i] = builder.ConvModule(absl::StrCat("neck.out_layers.", i), maps[i]);
  }
  YoloxHead(builder, maps);
}

}  // namespace detector
