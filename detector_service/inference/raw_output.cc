#include "detector_service/inference/raw_output.h"

namespace detector {

RawOutput Interpret(const HeadLayout& head, const std::vector<OutputMap>& maps) {
  RawOutput output{.num_classes = head.num_classes, .coding = head.coding};
  const auto rows = [&](const HeadSlot& slot) -> RawRows {
    if (slot.output < 0) return {};
    const OutputMap& map = maps[slot.output];
    return {map.data + slot.channel,
            static_cast<std::size_t>(map.channels / head.coding.per_cell())};
  };
  for (int i = 0; i < kLevels; ++i) {
    const HeadLayout::Level& level = head.levels[i];
    const OutputMap& first = maps[level.logits.output];
    output.levels[i] = {.grid = {first.width, first.height},
                        .logits = rows(level.logits),
                        .boxes = rows(level.boxes),
                        .objectness = rows(level.objectness),
                        .angles = rows(level.angles),
                        .kernels = rows(level.kernels)};
  }
  output.mask_features = rows(head.mask_features);
  return output;
}

}  // namespace detector
