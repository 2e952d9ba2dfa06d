// YOLOv6: RepVGG blocks (or plain convolutions, in the large models), a neck that learns its
// upsampling and, in version 3, looks one level further down.
#include <absl/strings/str_cat.h>

#include "detector_service/families/heads.h"
#include "detector_service/families/networks.h"

namespace detector {
namespace {

// BottleRep: two blocks and a weighted identity.
Value BottleRep(Draft& draft, const std::string& name, Value x) {
  const Value y = draft.RepVgg(name + ".conv1", x, {});
  return draft.RepVgg(name + ".conv2", y, {.residual = x, .residual_scale = name + ".alpha"});
}

// RepStageBlock: a row of blocks, of either kind.
Value RepStage(Draft& draft, const std::string& name, Value x) {
  const auto block = [&](const std::string& path, Value y) {
    return draft.tensors().Has(path + ".alpha") ? BottleRep(draft, path, y)
                                                : draft.RepVgg(path, y, {});
  };
  x = block(name + ".conv1", x);
  const int count = draft.tensors().Count(name + ".block.");
  for (int i = 0; i < count; ++i) x = block(absl::StrCat(name, ".block.", i), x);
  return x;
}

// RepStageBlock, or BepC3StageBlock around one: half of the channels pass it by.
Value Stage(Draft& draft, const std::string& name, Value x) {
  if (!draft.tensors().Has(name + ".conv3.conv.weight")) return RepStage(draft, name, x);
  const Value main = RepStage(draft, name + ".block", draft.ConvModule(name + ".conv1", x));
  const Value rest = draft.ConvModule(name + ".conv2", x);
  return draft.ConvModule(name + ".conv3", draft.Concat({main, rest}));
}

// SPPFBottleneck, or version 3's CSPSPPFBottleneck.
Value SpatialPyramid(Draft& draft, const std::string& name, Value x) {
  const auto conv = [&](int i, Value y) {
    return draft.ConvModule(absl::StrCat(name, ".conv", i), y);
  };
  if (!draft.tensors().Has(name + ".conv7.conv.weight")) {
    return Spp(draft, name, x, draft.activation());
  }
  const Value y = conv(4, conv(3, conv(1, x)));
  const Value main = conv(6, conv(5, draft.Concat(Pyramid(draft, y))));
  return conv(7, draft.Concat({conv(2, x), main}));
}

// These stay ReLU in the large models too.
Value ReluConv(Draft& draft, const std::string& name, Value x, int stride = 1) {
  return draft.ConvModule(name, x, {.stride = stride, .activation = Activation::kRelu});
}

// `c`: maps at strides 4 to 32.
Maps Neck(Draft& draft, const std::array<Value, 4>& c) {
  const auto layer = [](const char* kind, int i) { return absl::StrCat("neck.", kind, ".", i); };
  return Aggregate(
      draft, ReluConv(draft, "neck.reduce_layers.2", c[3]),
      {.join =
           [&](Value coarse, int step) {
             const std::string name = layer("upsample_layers", step);
             const Value current = c[2 - step];
             if (draft.tensors().Has(name + ".weight")) {
               return draft.Concat({draft.UpConv(name, coarse), current});
             }
             // BiFusion: the finer neighbour too.
             const Value up = draft.UpConv(name + ".upsample", coarse);
             const Value same = ReluConv(draft, name + ".conv1", current);
             const Value low = ReluConv(draft, name + ".conv2", c[1 - step]);
             const Value down = ReluConv(draft, name + ".downsample", low, /*stride=*/2);
             return ReluConv(draft, name + ".conv3", draft.Concat({up, same, down}));
           },
       .top_down =
           [&](Value joined, int step) {
             const std::string name = layer("top_down_layers", step);
             if (step > 0) return Stage(draft, name, joined);
             return ReluConv(draft, name + ".1", Stage(draft, name + ".0", joined));
           },
       .downsample =
           [&](Value fine, int step) {
             return ReluConv(draft, layer("downsample_layers", step), fine, /*stride=*/2);
           },
       .bottom_up =
           [&](Value joined, int step) {
             return Stage(draft, layer("bottom_up_layers", step), joined);
           }});
}

}  // namespace

void DraftYolov6(Draft& draft, const PythonConfig& /*config*/) {
  Value x = draft.RepVgg("backbone.stem", draft.Input(), {.stride = 2});
  std::array<Value, 4> c;
  for (int i = 0; i < 4; ++i) {
    const std::string stage = absl::StrCat("backbone.stage", i + 1);
    x = Stage(draft, stage + ".0.1", draft.RepVgg(stage + ".0.0", x, {.stride = 2}));
    if (i == 3) x = SpatialPyramid(draft, stage + ".1", x);
    c[i] = x;
  }
  const Maps maps = Neck(draft, c);
  std::array<Branches, kLevels> levels;
  for (int i = 0; i < kLevels; ++i) {
    const auto conv = [&](const char* kind, Value y) {
      return draft.ConvModule(absl::StrCat("bbox_head.head_module.", kind, ".", i), y,
                              {.activation = Activation::kSilu});
    };
    const auto predict = [&](const char* kind, Value y) {
      return draft.Conv(absl::StrCat("bbox_head.head_module.", kind, ".", i), y);
    };
    const Value stem = conv("stems", maps[i]);
    levels[i] = {predict("cls_preds", conv("cls_convs", stem)),
                 predict("reg_preds", conv("reg_convs", stem))};
  }
  DistanceHead(draft, levels);
}

}  // namespace detector
