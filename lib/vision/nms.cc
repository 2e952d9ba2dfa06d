#include "vision/nms.h"

#include <numeric>

#include "vision/box.h"

namespace vision {

std::vector<std::size_t> SuppressNonMaxima(std::span<const Box> boxes,
                                           std::span<const float> scores, float iou_threshold) {
  std::vector<std::size_t> order(boxes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  std::vector<Box> sorted;
  for (const std::size_t index : order) sorted.push_back(boxes[index]);
  std::vector<std::size_t> kept = SuppressSorted(
      sorted, /*groups=*/{}, sorted.size(),
      [&](const Box& better, const Box& box) { return BoxIou(better, box) > iou_threshold; });
  for (std::size_t& index : kept) index = order[index];
  return kept;
}

}  // namespace vision
