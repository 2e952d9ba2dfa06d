// YOLOv5, YOLOv8 and YOLOX: one backbone and neck of CSP layers, three heads.
#include <absl/strings/str_cat.h>

#include "detector_service/families/heads.h"
#include "detector_service/families/networks.h"

namespace detector {
namespace {

// From the stem's result: four stages of a stride-2 convolution and a CSP layer, in the last one
// with a spatial pyramid.
std::array<Value, 4> Stages(Draft& draft, Value x) {
  std::array<Value, 4> maps;
  for (int i = 0; i < 4; ++i) {
    const std::string stage = absl::StrCat("backbone.stage", i + 1);
    x = draft.ConvModule(stage + ".0", x, {.stride = 2});
    if (draft.tensors().Has(stage + ".1.conv2.conv.weight")) {  // YOLOX: pyramid first
      x = Spp(draft, stage + ".1", x, draft.activation());
      x = Csp(draft, stage + ".2", x, /*identity=*/false);
    } else {
      x = Csp(draft, stage + ".1", x, /*identity=*/true);
      if (i == 3) x = Spp(draft, stage + ".2", x, draft.activation());
    }
    maps[i] = x;
  }
  return maps;
}

Maps Neck(Draft& draft, const std::array<Value, 4>& c) {
  const auto layer = [](const char* kind, int i) { return absl::StrCat("neck.", kind, ".", i); };
  const bool reduces = draft.tensors().Has("neck.reduce_layers.2.conv.weight");
  const Value coarsest = reduces ? draft.ConvModule("neck.reduce_layers.2", c[3]) : c[3];
  return Aggregate(
      draft, coarsest,
      {.join =
           [&](Value coarse, int step) {
             return draft.Concat({draft.Upsample(coarse), c[2 - step]});
           },
       .top_down =
           [&](Value joined, int step) {
             const std::string name = layer("top_down_layers", step);
             if (!draft.tensors().Has(name + ".0.main_conv.conv.weight")) {
               return Csp(draft, name, joined, /*identity=*/false);
             }
             const Value y = Csp(draft, name + ".0", joined, /*identity=*/false);
             return draft.ConvModule(name + ".1", y);
           },
       .downsample =
           [&](Value fine, int step) {
             return draft.ConvModule(layer("downsample_layers", step), fine, {.stride = 2});
           },
       .bottom_up =
           [&](Value joined, int step) {
             return Csp(draft, layer("bottom_up_layers", step), joined, /*identity=*/false);
           }});
}

}  // namespace

void DraftYolov5(Draft& draft, const PythonConfig& config) {
  const Value stem = draft.ConvModule("backbone.stem", draft.Input(), {.stride = 2});
  static const Anchors kAnchors = {{{{10, 13}, {16, 30}, {33, 23}},
                                    {{30, 61}, {62, 45}, {59, 119}},
                                    {{116, 90}, {156, 198}, {373, 326}}}};
  AnchorHead(draft, Neck(draft, Stages(draft, stem)), config, kAnchors);
}

void DraftYolov8(Draft& draft, const PythonConfig& /*config*/) {
  const Value stem = draft.ConvModule("backbone.stem", draft.Input(), {.stride = 2});
  const Maps maps = Neck(draft, Stages(draft, stem));
  std::array<Branches, kLevels> levels;
  for (int i = 0; i < kLevels; ++i) {
    const auto branch = [&](const char* kind) {
      const std::string name = absl::StrCat("bbox_head.head_module.", kind, "_preds.", i, ".");
      const Value x = draft.ConvModule(name + "0", maps[i]);
      return draft.Conv(name + "2", draft.ConvModule(name + "1", x));
    };
    levels[i] = {branch("cls"), branch("reg")};
  }
  DistanceHead(draft, levels);
}

void DraftYolox(Draft& draft, const PythonConfig& /*config*/) {
  const Value stem = draft.ConvModule("backbone.stem.conv", draft.SpaceToDepth(draft.Input()));
  Maps maps = Neck(draft, Stages(draft, stem));
  for (int i = 0; i < kLevels; ++i) {
    maps[i] = draft.ConvModule(absl::StrCat("neck.out_layers.", i), maps[i]);
  }
  YoloxHead(draft, maps);
}

}  // namespace detector
