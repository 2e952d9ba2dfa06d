// YOLOv6: RepVGG blocks (or plain convolutions, in the large models), a neck that learns its
// upsampling and, in version 3, looks one level further down.
#include <absl/strings/str_cat.h>

#include "detector_service/families/heads.h"
#include "detector_service/families/networks.h"

namespace detector {
namespace {

// BottleRep: two blocks and a weighted identity.
FeatureMap BottleRep(BlueprintBuilder& builder, const std::string& name, FeatureMap x) {
  const FeatureMap y = builder.RepVgg(name + ".conv1", x, {});
  return builder.RepVgg(name + ".conv2", y, {.residual = x, .residual_scale = name + ".alpha"});
}

// RepStageBlock: a row of blocks, of either kind.
FeatureMap RepStage(BlueprintBuilder& builder, const std::string& name, FeatureMap x) {
  const auto block = [&](const std::string& path, FeatureMap y) {
    return builder.tensors().Has(path + ".alpha") ? BottleRep(builder, path, y)
                                                  : builder.RepVgg(path, y, {});
  };
  x = block(name + ".conv1", x);
  const int count = builder.tensors().Count(name + ".block.");
  for (int i = 0; i < count; ++i) x = block(absl::StrCat(name, ".block.", i), x);
  return x;
}

// RepStageBlock, or BepC3StageBlock around one: half of the channels pass it by.
FeatureMap Stage(BlueprintBuilder& builder, const std::string& name, FeatureMap x) {
  if (!builder.tensors().Has(name + ".conv3.conv.weight")) return RepStage(builder, name, x);
  const FeatureMap main =
      RepStage(builder, name + ".block", builder.ConvModule(name + ".conv1", x));
  const FeatureMap rest = builder.ConvModule(name + ".conv2", x);
  return builder.ConvModule(name + ".conv3", builder.Concat({main, rest}));
}

// SPPFBottleneck, or version 3's CSPSPPFBottleneck.
FeatureMap SpatialPyramid(BlueprintBuilder& builder, const std::string& name, FeatureMap x) {
  const auto conv = [&](int i, FeatureMap y) {
    return builder.ConvModule(absl::StrCat(name, ".conv", i), y);
  };
  if (!builder.tensors().Has(name + ".conv7.conv.weight")) {
    return Spp(builder, name, x, builder.activation(name));
  }
  const FeatureMap y = conv(4, conv(3, conv(1, x)));
  const FeatureMap main = conv(6, conv(5, builder.Concat(Pyramid(builder, y))));
  return conv(7, builder.Concat({conv(2, x), main}));
}

// These stay ReLU in the large models too.
FeatureMap ReluConv(BlueprintBuilder& builder, const std::string& name, FeatureMap x,
                    int stride = 1) {
  return builder.ConvModule(name, x, {.stride = stride, .activation = Activation::kRelu});
}

// `c`: maps at strides 4 to 32.
FeatureMaps Neck(BlueprintBuilder& builder, const std::array<FeatureMap, 4>& c) {
  const auto layer = [](const char* kind, int i) { return absl::StrCat("neck.", kind, ".", i); };
  return Aggregate(
      builder, ReluConv(builder, "neck.reduce_layers.2", c[3]),
      {.join =
           [&](FeatureMap coarse, int step) {
             const std::string name = layer("upsample_layers", step);
             const FeatureMap current = c[2 - step];
             if (builder.tensors().Has(name + ".weight")) {
               return builder.Concat({builder.UpConv(name, coarse), current});
             }
             // BiFusion: the finer neighbour too.
             const FeatureMap up = builder.UpConv(name + ".upsample", coarse);
             const FeatureMap same = ReluConv(builder, name + ".conv1", current);
             const FeatureMap low = ReluConv(builder, name + ".conv2", c[1 - step]);
             const FeatureMap down = ReluConv(builder, name + ".downsample", low, /*stride=*/2);
             return ReluConv(builder, name + ".conv3", builder.Concat({up, same, down}));
           },
       .top_down =
           [&](FeatureMap joined, int step) {
             const std::string name = layer("top_down_layers", step);
             if (step > 0) return Stage(builder, name, joined);
             return ReluConv(builder, name + ".1", Stage(builder, name + ".0", joined));
           },
       .downsample =
           [&](FeatureMap fine, int step) {
             return ReluConv(builder, layer("downsample_layers", step), fine, /*stride=*/2);
           },
       .bottom_up =
           [&](FeatureMap joined, int step) {
             return Stage(builder, layer("bottom_up_layers", step), joined);
           }});
}

}  // namespace

void BuildYolov6(BlueprintBuilder& builder, const PythonConfig& /*config*/) {
  FeatureMap x = builder.RepVgg("backbone.stem", builder.Input(), {.stride = 2});
  std::array<FeatureMap, 4> c;
  for (int i = 0; i < 4; ++i) {
    const std::string stage = absl::StrCat("backbone.stage", i + 1);
    x = Stage(builder, stage + ".0.1", builder.RepVgg(stage + ".0.0", x, {.stride = 2}));
    if (i == 3) x = SpatialPyramid(builder, stage + ".1", x);
    c[i] = x;
  }
  const FeatureMaps maps = Neck(builder, c);
  std::array<Branches, kLevels> levels;
  for (int i = 0; i < kLevels; ++i) {
    const auto conv = [&](const char* kind, FeatureMap y) {
      return builder.ConvModule(absl::StrCat("bbox_head.head_module.", kind, ".", i), y,
                                {.activation = Activation::kSilu});
    };
    const auto predict = [&](const char* kind, FeatureMap y) {
      return builder.Conv(absl::StrCat("bbox_head.head_module.", kind, ".", i), y);
    };
    const FeatureMap stem = conv("stems", maps[i]);
    levels[i] = {predict("cls_preds", conv("cls_convs", stem)),
                 predict("reg_preds", conv("reg_convs", stem))};
  }
  DistanceHead(builder, levels);
}

}  // namespace detector
