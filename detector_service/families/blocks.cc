#include "detector_service/families/blocks.h"

#include <absl/strings/str_cat.h>

#include <optional>

namespace detector {

Value ConvChain(Draft& draft, const std::string& name, Value x) {
  if (draft.tensors().Has(name + ".conv.weight")) return draft.ConvModule(name, x);
  const int count = draft.tensors().Count(name + ".");
  if (count == 0) draft.Fail(absl::StrCat("tensor '", name, ".conv.weight' is missing"));
  for (int i = 0; i < count; ++i) x = draft.ConvModule(absl::StrCat(name, ".", i), x);
  return x;
}

Value Csp(Draft& draft, const std::string& name, Value x, bool identity) {
  const int count = draft.tensors().Count(name + ".blocks.");
  const auto bottleneck = [&](int i, Value y) {
    const std::string block = absl::StrCat(name, ".blocks.", i);
    const Value z = draft.ConvModule(block + ".conv1", y);
    return draft.ConvModule(block + ".conv2", z,
                            {.residual = identity ? std::optional(y) : std::nullopt});
  };
  Value main = draft.ConvModule(name + ".main_conv", x);
  if (draft.tensors().Has(name + ".short_conv.conv.weight")) {
    for (int i = 0; i < count; ++i) main = bottleneck(i, main);
    const Value rest = draft.ConvModule(name + ".short_conv", x);
    return draft.ConvModule(name + ".final_conv", draft.Concat({main, rest}));
  }
  const auto [first, second] = draft.Halves(main);
  std::vector<Value> parts = {first, second};
  for (int i = 0; i < count; ++i) parts.push_back(bottleneck(i, parts.back()));
  return draft.ConvModule(name + ".final_conv", draft.Concat(parts));
}

std::vector<Value> Pyramid(Draft& draft, Value x) {
  std::vector<Value> levels = {x};
  for (int i = 0; i < 3; ++i) levels.push_back(draft.MaxPool(levels.back(), 5));
  return levels;
}

Value Spp(Draft& draft, const std::string& name, Value x, Activation act) {
  if (draft.tensors().Has(name + ".conv1.conv.weight")) {
    x = draft.ConvModule(name + ".conv1", x, {.activation = act});
  }
  return draft.ConvModule(name + ".conv2", draft.Concat(Pyramid(draft, x)), {.activation = act});
}

Maps Aggregate(Draft& draft, Value coarsest, const PathAggregation& neck) {
  Maps inner{};
  inner[kLevels - 1] = coarsest;
  for (int step = 0; step < kLevels - 1; ++step) {
    const int fine = kLevels - 2 - step;
    inner[fine] = neck.top_down(neck.join(inner[fine + 1], step), step);
  }
  Maps out{};
  out[0] = inner[0];
  for (int step = 0; step < kLevels - 1; ++step) {
    const Value down = neck.downsample(out[step], step);
    out[step + 1] = neck.bottom_up(draft.Concat({down, inner[step + 1]}), step);
  }
  return out;
}

}  // namespace detector
