// Non-maximum suppression: of shapes that overlap, the one with the best score stays.
#ifndef DUET_VISION_NMS_H_
#define DUET_VISION_NMS_H_

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "vision/geometry.h"

namespace vision {

// Indices of what is kept, ascending; at most `most`. `shapes` are sorted, best first. A shape is
// dropped if a kept one of its group, which is better, suppresses it: suppresses(better, shape).
// `groups[i]`, at least 0, is the group of shapes[i]; empty: all are of one.
template <typename Shape, typename Suppresses>
std::vector<std::size_t> SuppressSorted(const std::vector<Shape>& shapes,
                                        std::span<const int> groups, std::size_t most,
                                        const Suppresses& suppresses) {
  const int group_count = groups.empty() ? 1 : *std::max_element(groups.begin(), groups.end()) + 1;
  std::vector<std::vector<Shape>> kept_of_group(group_count);
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < shapes.size() && kept.size() < most; ++i) {
    std::vector<Shape>& better = kept_of_group[groups.empty() ? 0 : groups[i]];
    const bool suppressed = std::any_of(better.begin(), better.end(), [&](const Shape& other) {
      return suppresses(other, shapes[i]);
    });
    if (suppressed) continue;
    better.push_back(shapes[i]);
    kept.push_back(i);
  }
  return kept;
}

// Indices of the boxes that are kept, by falling score (ties keep their order). A box is dropped if
// its IoU with a better one that is kept is more than `iou_threshold`. REQUIRES: as many scores as
// boxes.
std::vector<std::size_t> SuppressNonMaxima(std::span<const Box> boxes,
                                           std::span<const float> scores, float iou_threshold);

}  // namespace vision

#endif  // DUET_VISION_NMS_H_
