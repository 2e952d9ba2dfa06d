// YOLOv7: ELAN blocks, which join the results of all their convolutions, and downsampling by
// pooling and striding side by side.
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "detector_service/families/heads.h"
#include "detector_service/families/networks.h"

namespace detector {
namespace {

// ELANBlock or EELANBlock's half, or TinyDownSampleBlock: the last result comes first.
Value Elan(Draft& draft, const std::string& name, Value x) {
  std::vector<Value> parts = {draft.ConvModule(name + ".short_conv", x)};
  const bool tiny = draft.tensors().Has(name + ".main_convs.0.conv.weight");
  if (!tiny) parts.push_back(x = draft.ConvModule(name + ".main_conv", x));
  const std::string blocks = name + (tiny ? ".main_convs." : ".blocks.");
  const int count = draft.tensors().Count(blocks);
  for (int i = 0; i < count; ++i) {
    parts.push_back(x = ConvChain(draft, absl::StrCat(blocks, i), x));
  }
  std::reverse(parts.begin(), parts.end());
  return draft.ConvModule(name + ".final_conv", draft.Concat(parts));
}

// MaxPoolAndStrideConvBlock, or a plain stride-2 convolution.
Value Downsample(Draft& draft, const std::string& name, Value x) {
  if (draft.tensors().Has(name + ".conv.weight")) return draft.ConvModule(name, x, {.stride = 2});
  const std::string strided = name + ".stride_conv_branches.";
  const Value y =
      draft.ConvModule(strided + "1", draft.ConvModule(strided + "0", x), {.stride = 2});
  const Value pooled = draft.MaxPool(x, /*kernel=*/2, /*stride=*/2);
  return draft.Concat({y, draft.ConvModule(name + ".maxpool_branches.1", pooled)});
}

// SPPFCSPBlock; tiny's joins the pyramid from its top.
Value SpatialPyramid(Draft& draft, const std::string& name, Value x) {
  std::vector<Value> pyramid = Pyramid(draft, ConvChain(draft, name + ".main_layers", x));
  const bool tiny = draft.tensors().Has(name + ".main_layers.conv.weight");
  if (tiny) std::reverse(pyramid.begin(), pyramid.end());
  const Value fused = ConvChain(draft, name + ".fuse_layers", draft.Concat(pyramid));
  const Value rest = draft.ConvModule(name + ".short_layer", x);
  return draft.ConvModule(name + ".final_conv", draft.Concat({fused, rest}));
}

std::array<Value, 4> Backbone(Draft& draft) {
  const bool tiny = draft.tensors().Has("backbone.stage1.0.short_conv.conv.weight");
  Value x = draft.Input();
  const std::vector<int> strides = tiny ? std::vector{2, 2} : std::vector{1, 2, 1};
  for (std::size_t i = 0; i < strides.size(); ++i) {
    x = draft.ConvModule(absl::StrCat("backbone.stem.", i), x, {.stride = strides[i]});
  }
  std::array<Value, 4> c;
  for (int i = 0; i < 4; ++i) {
    const std::string stage = absl::StrCat("backbone.stage", i + 1);
    if (tiny && i == 0) {
      x = Elan(draft, stage + ".0", x);
    } else {
      x = tiny ? draft.MaxPool(x, /*kernel=*/2, /*stride=*/2) : Downsample(draft, stage + ".0", x);
      x = Elan(draft, stage + ".1", x);
    }
    c[i] = x;
  }
  return c;
}

Maps Neck(Draft& draft, const std::array<Value, 4>& c) {
  const auto layer = [](const char* kind, int i) { return absl::StrCat("neck.", kind, ".", i); };
  Maps maps = Aggregate(
      draft, SpatialPyramid(draft, "neck.reduce_layers.2", c[3]),
      {.join =
           [&](Value coarse, int step) {
             const Value up =
                 draft.Upsample(draft.ConvModule(layer("upsample_layers", step) + ".0", coarse));
             const Value fine = draft.ConvModule(layer("reduce_layers", 1 - step), c[2 - step]);
             return draft.Concat({fine, up});
           },
       .top_down = [&](Value joined,
                       int step) { return Elan(draft, layer("top_down_layers", step), joined); },
       .downsample =
           [&](Value fine, int step) {
             return Downsample(draft, layer("downsample_layers", step), fine);
           },
       .bottom_up =
           [&](Value joined, int step) {
             return Elan(draft, layer("bottom_up_layers", step), joined);
           }});
  for (int i = 0; i < kLevels; ++i) {
    const std::string name = layer("out_layers", i);
    maps[i] = draft.tensors().HasPrefix(name + ".rbr_") ? draft.RepVgg(name, maps[i], {})
                                                        : draft.ConvModule(name, maps[i]);
  }
  return maps;
}

}  // namespace

void DraftYolov7(Draft& draft, const PythonConfig& config) {
  static const Anchors kAnchors = {{{{12, 16}, {19, 36}, {40, 28}},
                                    {{36, 75}, {76, 55}, {72, 146}},
                                    {{142, 110}, {192, 243}, {459, 401}}}};
  AnchorHead(draft, Neck(draft, Backbone(draft)), config, kAnchors);
}

}  // namespace detector
