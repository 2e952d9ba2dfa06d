#include "detector_service/families/heads.h"

#include <absl/strings/str_cat.h>

#include <string>

namespace detector {
namespace {

constexpr char kHead[] = "bbox_head.head_module.";
constexpr int kBoxNumbers = 4;

// mmyolo's name for them is base_sizes: per level a list of (width, height).
bool ReadAnchors(const PythonValue& sizes, Anchors* anchors) {
  if (sizes.list() == nullptr || sizes.list()->size() != kLevels) return false;
  for (int level = 0; level < kLevels; ++level) {
    const PythonValue::List* list = (*sizes.list())[level].list();
    if (list == nullptr || list->empty()) return false;
    std::vector<Anchor>& own = (*anchors)[level];
    own.clear();
    for (const PythonValue& pair : *list) {
      double width = 0;
      double height = 0;
      if (pair.list() == nullptr || pair.list()->size() != 2 ||
          !pair.list()->at(0).number(&width) || !pair.list()->at(1).number(&height) ||
          !(width > 0) || !(height > 0)) {
        return false;
      }
      own.push_back({static_cast<float>(width), static_cast<float>(height)});
    }
    if (own.size() != anchors->front().size()) return false;
  }
  return true;
}

}  // namespace

void AnchorHead(BlueprintBuilder& builder, const FeatureMaps& maps, const PythonConfig& config,
                const Anchors& standard) {
  Anchors anchors = standard;
  const PythonValue* sizes =
      config.values.Find({"model", "bbox_head", "prior_generator", "base_sizes"});
  if (sizes != nullptr && !ReadAnchors(*sizes, &anchors)) {
    builder.Fail("model config: prior_generator base_sizes must be three lists of (width, height)");
  }
  HeadLayout& head = builder.head();
  head.coding = {.code = BoxCode::kAnchors, .point = 0.5F, .anchors = anchors};
  const int per_cell = head.coding.per_cell();
  for (int level = 0; level < kLevels; ++level) {
    const std::string name = absl::StrCat(kHead, "convs_pred.", level);
    const bool implicit = builder.tensors().Has(name + ".0.implicit");
    const FeatureMap y =
        implicit ? builder.ImplicitConv(name, maps[level]) : builder.Conv(name, maps[level]);
    const int row = builder.channels(y) / per_cell;
    if (builder.channels(y) % per_cell != 0 || row <= kBoxNumbers + 1 ||
        (level > 0 && row != head.num_classes + kBoxNumbers + 1)) {
      builder.Fail(absl::StrCat("'", name, "' gives ", builder.channels(y), " numbers, which ",
                                per_cell, " anchors cannot share"));
    }
    head.num_classes = row - kBoxNumbers - 1;
    const int output = builder.Output(y);
    head.levels[level] = {.logits = {output, kBoxNumbers + 1},
                          .boxes = {output, 0},
                          .objectness = {output, kBoxNumbers}};
  }
}

void DistanceHead(BlueprintBuilder& builder, const std::array<Branches, kLevels>& levels) {
  HeadLayout& head = builder.head();
  head.num_classes = builder.channels(levels[0].cls);
  const int numbers = builder.channels(levels[0].reg);
  head.coding = {
      .code = numbers == kBoxNumbers ? BoxCode::kStrideDistances : BoxCode::kDistributions,
      .point = 0.5F,
      .bins = numbers / kBoxNumbers};
  for (int level = 0; level < kLevels; ++level) {
    const auto& [cls, reg] = levels[level];
    if (builder.channels(cls) != head.num_classes || builder.channels(reg) != numbers ||
        numbers % kBoxNumbers != 0) {
      builder.Fail(absl::StrCat("the head gives ", builder.channels(cls), " classes and ",
                                builder.channels(reg), " numbers for a box at stride ",
                                kStrides[level], ", but ", head.num_classes, " and ", numbers,
                                " at the first"));
    }
    head.levels[level] = {.logits = {builder.Output(cls)}, .boxes = {builder.Output(reg)}};
  }
}

void YoloxHead(BlueprintBuilder& builder, const FeatureMaps& maps) {
  HeadLayout& head = builder.head();
  head.coding = {.code = BoxCode::kCentreSize};
  for (int level = 0; level < kLevels; ++level) {
    const auto tower = [&](const char* kind) {
      return ConvChain(builder, absl::StrCat(kHead, "multi_level_", kind, "_convs.", level),
                       maps[level]);
    };
    const auto predict = [&](const char* kind, FeatureMap x) {
      return builder.Conv(absl::StrCat(kHead, "multi_level_conv_", kind, ".", level), x);
    };
    const FeatureMap cls = predict("cls", tower("cls"));
    const FeatureMap features = tower("reg");
    const FeatureMap reg = predict("reg", features);
    const FeatureMap obj = predict("obj", features);
    if (builder.channels(reg) != kBoxNumbers || builder.channels(obj) != 1 ||
        (level > 0 && builder.channels(cls) != head.num_classes)) {
      builder.Fail(
          "the head's outputs are not 4 numbers for a box, 1 for objectness and as many "
          "classes at each stride");
    }
    head.num_classes = builder.channels(cls);
    head.levels[level] = {.logits = {builder.Output(cls)},
                          .boxes = {builder.Output(reg)},
                          .objectness = {builder.Output(obj)}};
  }
}

}  // namespace detector
