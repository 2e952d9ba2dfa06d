#include "detector_service/families/blocks.h"

#include <absl/strings/str_cat.h>

#include <optional>

namespace detector {

FeatureMap ConvChain(BlueprintBuilder& builder, const std::string& name, FeatureMap x) {
  if (builder.tensors().Has(name + ".conv.weight")) return builder.ConvModule(name, x);
  const int count = builder.tensors().Count(name + ".");
  if (count == 0) builder.Fail(absl::StrCat("tensor '", name, ".conv.weight' is missing"));
  for (int i = 0; i < count; ++i) x = builder.ConvModule(absl::StrCat(name, ".", i), x);
  return x;
}

FeatureMap Csp(BlueprintBuilder& builder, const std::string& name, FeatureMap x, bool identity) {
  const int count = builder.tensors().Count(name + ".blocks.");
  const auto bottleneck = [&](int i, FeatureMap y) {
    const std::string block = absl::StrCat(name, ".blocks.", i);
    const FeatureMap z = builder.ConvModule(block + ".conv1", y);
    return builder.ConvModule(block + ".conv2", z,
                              {.residual = identity ? std::optional(y) : std::nullopt});
  };
  FeatureMap main = builder.ConvModule(name + ".main_conv", x);
  if (builder.tensors().Has(name + ".short_conv.conv.weight")) {
    for (int i = 0; i < count; ++i) main = bottleneck(i, main);
    const FeatureMap rest = builder.ConvModule(name + ".short_conv", x);
    return builder.ConvModule(name + ".final_conv", builder.Concat({main, rest}));
  }
  const auto [first, second] = builder.Halves(main);
  std::vector<FeatureMap> parts = {first, second};
  for (int i = 0; i < count; ++i) parts.push_back(bottleneck(i, parts.back()));
  return builder.ConvModule(name + ".final_conv", builder.Concat(parts));
}

std::vector<FeatureMap> Pyramid(BlueprintBuilder& builder, FeatureMap x) {
  std::vector<FeatureMap> levels = {x};
  for (int i = 0; i < 3; ++i) levels.push_back(builder.MaxPool(levels.back(), 5));
  return levels;
}

FeatureMap Spp(BlueprintBuilder& builder, const std::string& name, FeatureMap x, Activation act) {
  if (builder.tensors().Has(name + ".conv1.conv.weight")) {
    x = builder.ConvModule(name + ".conv1", x, {.activation = act});
  }
  return builder.ConvModule(name + ".conv2", builder.Concat(Pyramid(builder, x)),
                            {.activation = act});
}

FeatureMaps Aggregate(BlueprintBuilder& builder, FeatureMap coarsest, const PathAggregation& neck) {
  FeatureMaps inner{};
  inner[kLevels - 1] = coarsest;
  for (int step = 0; step < kLevels - 1; ++step) {
    const int fine = kLevels - 2 - step;
    inner[fine] = neck.top_down(neck.join(inner[fine + 1], step), step);
  }
  FeatureMaps out{};
  out[0] = inner[0];
  for (int step = 0; step < kLevels - 1; ++step) {
    const FeatureMap down = neck.downsample(out[step], step);
    out[step + 1] = neck.bottom_up(builder.Concat({down, inner[step + 1]}), step);
  }
  return out;
}

}  // namespace detector
