// YOLOv7: ELAN blocks, which join the results of all their convolutions, and downsampling by
// pooling and striding side by side.
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "detector_service/families/heads.h"
#include "detector_service/families/networks.h"

namespace detector {
namespace {

// ELANBlock or EELANBlock's half, or TinyDownSampleBlock: the last result comes first.
FeatureMap Elan(BlueprintBuilder& builder, const std::string& name, FeatureMap x) {
  std::vector<FeatureMap> parts = {builder.ConvModule(name + ".short_conv", x)};
  const bool tiny = builder.tensors().Has(name + ".main_convs.0.conv.weight");
  if (!tiny) parts.push_back(x = builder.ConvModule(name + ".main_conv", x));
  const std::string blocks = name + (tiny ? ".main_convs." : ".blocks.");
  const int count = builder.tensors().Count(blocks);
  for (int i = 0; i < count; ++i) {
    parts.push_back(x = ConvChain(builder, absl::StrCat(blocks, i), x));
  }
  std::reverse(parts.begin(), parts.end());
  return builder.ConvModule(name + ".final_conv", builder.Concat(parts));
}

// MaxPoolAndStrideConvBlock, or a plain stride-2 convolution.
FeatureMap Downsample(BlueprintBuilder& builder, const std::string& name, FeatureMap x) {
  if (builder.tensors().Has(name + ".conv.weight"))
    return builder.ConvModule(name, x, {.stride = 2});
  const std::string strided = name + ".stride_conv_branches.";
  const FeatureMap y =
      builder.ConvModule(strided + "1", builder.ConvModule(strided + "0", x), {.stride = 2});
  const FeatureMap pooled = builder.MaxPool(x, /*kernel=*/2, /*stride=*/2);
  return builder.Concat({y, builder.ConvModule(name + ".maxpool_branches.1", pooled)});
}

// SPPFCSPBlock; tiny's joins the pyramid from its top.
FeatureMap SpatialPyramid(BlueprintBuilder& builder, const std::string& name, FeatureMap x) {
  std::vector<FeatureMap> pyramid = Pyramid(builder, ConvChain(builder, name + ".main_layers", x));
  const bool tiny = builder.tensors().Has(name + ".main_layers.conv.weight");
  if (tiny) std::reverse(pyramid.begin(), pyramid.end());
  const FeatureMap fused = ConvChain(builder, name + ".fuse_layers", builder.Concat(pyramid));
  const FeatureMap rest = builder.ConvModule(name + ".short_layer", x);
  return builder.ConvModule(name + ".final_conv", builder.Concat({fused, rest}));
}

std::array<FeatureMap, 4> Backbone(BlueprintBuilder& builder) {
  const bool tiny = builder.tensors().Has("backbone.stage1.0.short_conv.conv.weight");
  FeatureMap x = builder.Input();
  const std::vector<int> strides = tiny ? std::vector{2, 2} : std::vector{1, 2, 1};
  for (std::size_t i = 0; i < strides.size(); ++i) {
    x = builder.ConvModule(absl::StrCat("backbone.stem.", i), x, {.stride = strides[i]});
  }
  std::array<FeatureMap, 4> c;
  for (int i = 0; i < 4; ++i) {
    const std::string stage = absl::StrCat("backbone.stage", i + 1);
    if (tiny && i == 0) {
      x = Elan(builder, stage + ".0", x);
    } else {
      x = tiny ? builder.MaxPool(x, /*kernel=*/2, /*stride=*/2)
               : Downsample(builder, stage + ".0", x);
      x = Elan(builder, stage + ".1", x);
    }
    c[i] = x;
  }
  return c;
}

FeatureMaps Neck(BlueprintBuilder& builder, const std::array<FeatureMap, 4>& c) {
  const auto layer = [](const char* kind, int i) { return absl::StrCat("neck.", kind, ".", i); };
  FeatureMaps maps = Aggregate(
      builder, SpatialPyramid(builder, "neck.reduce_layers.2", c[3]),
      {.join =
           [&](FeatureMap coarse, int step) {
             const FeatureMap up = builder.Upsample(
                 builder.ConvModule(layer("upsample_layers", step) + ".0", coarse));
             const FeatureMap fine =
                 builder.ConvModule(layer("reduce_layers", 1 - step), c[2 - step]);
             return builder.Concat({fine, up});
           },
       .top_down = [&](FeatureMap joined,
                       int step) { return Elan(builder, layer("top_down_layers", step), joined); },
       .downsample =
           [&](FeatureMap fine, int step) {
             return Downsample(builder, layer("downsample_layers", step), fine);
           },
       .bottom_up =
           [&](FeatureMap joined, int step) {
             return Elan(builder, layer("bottom_up_layers", step), joined);
           }});
  for (int i = 0; i < kLevels; ++i) {
    const std::string name = layer("out_layers", i);
    maps[i] = builder.tensors().HasPrefix(name + ".rbr_") ? builder.RepVgg(name, maps[i], {})
                                                          : builder.ConvModule(name, maps[i]);
  }
  return maps;
}

}  // namespace

void BuildYolov7(BlueprintBuilder& builder, const PythonConfig& config) {
  static const Anchors kAnchors = {{{{12, 16}, {19, 36}, {40, 28}},
                                    {{36, 75}, {76, 55}, {72, 146}},
                                    {{142, 110}, {192, 243}, {459, 401}}}};
  AnchorHead(builder, Neck(builder, Backbone(builder)), config, kAnchors);
}

}  // namespace detector
