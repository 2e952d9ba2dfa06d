// PPYOLOE and PPYOLOE+: CSP layers of RepVGG blocks with channel attention, a head whose stems are
// gated by the picture's mean.
#include <absl/strings/str_cat.h>

#include <optional>

#include "detector_service/families/heads.h"
#include "detector_service/families/networks.h"

namespace detector {
namespace {

Value CspRes(Draft& draft, const std::string& name, Value x, bool identity) {
  if (draft.tensors().Has(name + ".conv_down.conv.weight")) {
    x = draft.ConvModule(name + ".conv_down", x, {.stride = 2});
  }
  Value main = draft.ConvModule(name + ".conv2", x);
  const int count = draft.tensors().Count(name + ".blocks.");
  for (int i = 0; i < count; ++i) {
    const std::string block = absl::StrCat(name, ".blocks.", i);
    const Value y = draft.ConvModule(block + ".conv1", main);
    main = draft.RepVgg(block + ".conv2", y,
                        {.residual = identity ? std::optional(main) : std::nullopt});
    if (i == (count - 1) / 2 && draft.tensors().Has(name + ".blocks.spp.conv2.conv.weight")) {
      main = Spp(draft, name + ".blocks.spp", main, draft.activation());
    }
  }
  Value joined = draft.Concat({draft.ConvModule(name + ".conv1", x), main});
  if (draft.tensors().HasPrefix(name + ".attn.")) {
    joined = draft.ChannelGate(name + ".attn.fc.conv", joined, Activation::kHardSigmoid);
  }
  return draft.ConvModule(name + ".conv3", joined);
}

}  // namespace

void DraftPpyoloe(Draft& draft, const PythonConfig& /*config*/) {
  Value x = draft.Input();
  const int stem = draft.tensors().Count("backbone.stem.");
  for (int i = 0; i < stem; ++i) {
    x = draft.ConvModule(absl::StrCat("backbone.stem.", i), x, {.stride = i == 0 ? 2 : 1});
  }
  std::array<Value, 4> c;
  for (int i = 0; i < 4; ++i) {
    x = CspRes(draft, absl::StrCat("backbone.stage", i + 1, ".0"), x, /*identity=*/true);
    c[i] = x;
  }
  const auto layer = [](const char* kind, int i) {
    return absl::StrCat("neck.", kind, ".", i, ".0");
  };
  const Maps maps = Aggregate(
      draft, CspRes(draft, layer("reduce_layers", 2), c[3], /*identity=*/false),
      {.join =
           [&](Value coarse, int step) {
             const Value y = draft.ConvModule(layer("upsample_layers", step), coarse);
             return draft.Concat({draft.Upsample(y), c[2 - step]});
           },
       .top_down =
           [&](Value joined, int step) {
             return CspRes(draft, layer("top_down_layers", step), joined, /*identity=*/false);
           },
       .downsample =
           [&](Value fine, int step) {
             return draft.ConvModule(absl::StrCat("neck.downsample_layers.", step), fine,
                                     {.stride = 2});
           },
       .bottom_up =
           [&](Value joined, int step) {
             return CspRes(draft, layer("bottom_up_layers", step), joined, /*identity=*/false);
           }});
  std::array<Branches, kLevels> levels;
  for (int i = 0; i < kLevels; ++i) {
    const auto branch = [&](const char* kind, std::optional<Value> residual) {
      const std::string name = absl::StrCat("bbox_head.head_module.", kind);
      const std::string gate = absl::StrCat(name, "_stems.", i);
      const Value gated = draft.ChannelGate(gate + ".fc", maps[i], Activation::kSigmoid);
      const Value y = draft.ConvModule(gate + ".conv", gated, {.residual = residual});
      return draft.Conv(absl::StrCat(name, "_preds.", i), y);
    };
    levels[i] = {branch("cls", maps[i]), branch("reg", std::nullopt)};
  }
  DistanceHead(draft, levels);
}

}  // namespace detector
