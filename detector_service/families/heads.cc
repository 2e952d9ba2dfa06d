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

void AnchorHead(Draft& draft, const Maps& maps, const PythonConfig& config,
                const Anchors& standard) {
  Anchors anchors = standard;
  const PythonValue* sizes =
      config.values.Find({"model", "bbox_head", "prior_generator", "base_sizes"});
  if (sizes != nullptr && !ReadAnchors(*sizes, &anchors)) {
    draft.Fail("model config: prior_generator base_sizes must be three lists of (width, height)");
  }
  HeadLayout& head = draft.head();
  head.coding = {.code = BoxCode::kAnchors, .point = 0.5F, .anchors = anchors};
  const int per_cell = head.coding.per_cell();
  for (int level = 0; level < kLevels; ++level) {
    const std::string name = absl::StrCat(kHead, "convs_pred.", level);
    const bool implicit = draft.tensors().Has(name + ".0.implicit");
    const Value y =
        implicit ? draft.ImplicitConv(name, maps[level]) : draft.Conv(name, maps[level]);
    const int row = draft.channels(y) / per_cell;
    if (draft.channels(y) % per_cell != 0 || row <= kBoxNumbers + 1 ||
        (level > 0 && row != head.num_classes + kBoxNumbers + 1)) {
      draft.Fail(absl::StrCat("'", name, "' gives ", draft.channels(y), " numbers, which ",
                              per_cell, " anchors cannot share"));
    }
    head.num_classes = row - kBoxNumbers - 1;
    const int output = draft.Output(y);
    head.levels[level] = {.logits = {output, kBoxNumbers + 1},
                          .boxes = {output, 0},
                          .objectness = {output, kBoxNumbers}};
  }
}

void DistanceHead(Draft& draft, const std::array<Branches, kLevels>& levels) {
  HeadLayout& head = draft.head();
  head.num_classes = draft.channels(levels[0].cls);
  const int numbers = draft.channels(levels[0].reg);
  head.coding = {
      .code = numbers == kBoxNumbers ? BoxCode::kStrideDistances : BoxCode::kDistributions,
      .point = 0.5F,
      .bins = numbers / kBoxNumbers};
  for (int level = 0; level < kLevels; ++level) {
    const auto& [cls, reg] = levels[level];
    if (draft.channels(cls) != head.num_classes || draft.channels(reg) != numbers ||
        numbers % kBoxNumbers != 0) {
      draft.Fail(absl::StrCat("the head gives ", draft.channels(cls), " classes and ",
                              draft.channels(reg), " numbers for a box at stride ", kStrides[level],
                              ", but ", head.num_classes, " and ", numbers, " at the first"));
    }
    head.levels[level] = {.logits = {draft.Output(cls)}, .boxes = {draft.Output(reg)}};
  }
}

void YoloxHead(Draft& draft, const Maps& maps) {
  HeadLayout& head = draft.head();
  head.coding = {.code = BoxCode::kCentreSize};
  for (int level = 0; level < kLevels; ++level) {
    const auto tower = [&](const char* kind) {
      return ConvChain(draft, absl::StrCat(kHead, "multi_level_", kind, "_convs.", level),
                       maps[level]);
    };
    const auto predict = [&](const char* kind, Value x) {
      return draft.Conv(absl::StrCat(kHead, "multi_level_conv_", kind, ".", level), x);
    };
    const Value cls = predict("cls", tower("cls"));
    const Value features = tower("reg");
    const Value reg = predict("reg", features);
    const Value obj = predict("obj", features);
    if (draft.channels(reg) != kBoxNumbers || draft.channels(obj) != 1 ||
        (level > 0 && draft.channels(cls) != head.num_classes)) {
      draft.Fail(
          "the head's outputs are not 4 numbers for a box, 1 for objectness and as many "
          "classes at each stride");
    }
    head.num_classes = draft.channels(cls);
    head.levels[level] = {.logits = {draft.Output(cls)},
                          .boxes = {draft.Output(reg)},
                          .objectness = {draft.Output(obj)}};
  }
}

}  // namespace detector
