// PPYOLOE and PPYOLOE+: CSP layers of RepVGG blocks with channel attention, a head whose stems are
// gated by the image's mean.
#include <absl/strings/str_cat.h>

#include <optional>

#include "detector_service/families/heads.h"
#include "detector_service/families/networks.h"

namespace detector {
namespace {

FeatureMap CspRes(BlueprintBuilder& builder, const std::string& name, FeatureMap x, bool identity) {
  if (builder.tensors().Has(name + ".conv_down.conv.weight")) {
    x = builder.ConvModule(name + ".conv_down", x, {.stride = 2});
  }
  FeatureMap main = builder.ConvModule(name + ".conv2", x);
  const int count = builder.tensors().Count(name + ".blocks.");
  for (int i = 0; i < count; ++i) {
    const std::string block = absl::StrCat(name, ".blocks.", i);
    const FeatureMap y = builder.ConvModule(block + ".conv1", main);
    main = builder.RepVgg(block + ".conv2", y,
                          {.residual = identity ? std::optional(main) : std::nullopt});
    if (i == (count - 1) / 2 && builder.tensors().Has(name + ".blocks.spp.conv2.conv.weight")) {
      main = Spp(builder, name + ".blocks.spp", main, builder.activation(name));
    }
  }
  FeatureMap joined = builder.Concat({builder.ConvModule(name + ".conv1", x), main});
  if (builder.tensors().HasPrefix(name + ".attn.")) {
    joined = builder.ChannelGate(name + ".attn.fc.conv", joined, Activation::kHardSigmoid);
  }
  return builder.ConvModule(name + ".conv3", joined);
}

}  // namespace

void BuildPpyoloe(BlueprintBuilder& builder, const PythonConfig& /*config*/) {
  FeatureMap x = builder.Input();
  const int stem = builder.tensors().Count("backbone.stem.");
  for (int i = 0; i < stem; ++i) {
    x = builder.ConvModule(absl::StrCat("backbone.stem.", i), x, {.stride = i == 0 ? 2 : 1});
  }
  std::array<FeatureMap, 4> c;
  for (int i = 0; i < 4; ++i) {
    x = CspRes(builder, absl::StrCat("backbone.stage", i + 1, ".0"), x, /*identity=*/true);
    c[i] = x;
  }
  const auto layer = [](const char* kind, int i) {
    return absl::StrCat("neck.", kind, ".", i, ".0");
  };
  const FeatureMaps maps = Aggregate(
      builder, CspRes(builder, layer("reduce_layers", 2), c[3], /*identity=*/false),
      {.join =
           [&](FeatureMap coarse, int step) {
             const FeatureMap y = builder.ConvModule(layer("upsample_layers", step), coarse);
             return builder.Concat({builder.Upsample(y), c[2 - step]});
           },
       .top_down =
           [&](FeatureMap joined, int step) {
             return CspRes(builder, layer("top_down_layers", step), joined, /*identity=*/false);
           },
       .downsample =
           [&](FeatureMap fine, int step) {
             return builder.ConvModule(absl::StrCat("neck.downsample_layers.", step), fine,
                                       {.stride = 2});
           },
       .bottom_up =
           [&](FeatureMap joined, int step) {
             return CspRes(builder, layer("bottom_up_layers", step), joined, /*identity=*/false);
           }});
  std::array<Branches, kLevels> levels;
  for (int i = 0; i < kLevels; ++i) {
    const auto branch = [&](const char* kind, std::optional<FeatureMap> residual) {
      const std::string name = absl::StrCat("bbox_head.head_module.", kind);
      const std::string gate = absl::StrCat(name, "_stems.", i);
      const FeatureMap gated = builder.ChannelGate(gate + ".fc", maps[i], Activation::kSigmoid);
      const FeatureMap y = builder.ConvModule(gate + ".conv", gated, {.residual = residual});
      return builder.Conv(absl::StrCat(name, "_preds.", i), y);
    };
    levels[i] = {branch("cls", maps[i]), branch("reg", std::nullopt)};
  }
  DistanceHead(builder, levels);
}

}  // namespace detector
