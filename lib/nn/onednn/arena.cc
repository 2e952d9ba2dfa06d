#include "nn/onednn/arena.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace nn::onednn {

ArenaPlan PlanArena(const std::vector<BufferLife>& buffers) {
  constexpr std::size_t kAlign = 64;  // a cache line and a vector register
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return buffers[a].bytes > buffers[b].bytes;
  });

  ArenaPlan plan;
  plan.offsets.resize(buffers.size());
  std::vector<std::size_t> placed;
  for (const std::size_t i : order) {
    const std::size_t size = (buffers[i].bytes + kAlign - 1) / kAlign * kAlign;
    std::vector<std::pair<std::size_t, std::size_t>> taken;  // [begin, end) alive together with i
    for (const std::size_t j : placed) {
      if (buffers[j].first <= buffers[i].last && buffers[i].first <= buffers[j].last) {
        taken.emplace_back(plan.offsets[j], plan.offsets[j] + buffers[j].bytes);
      }
    }
    std::sort(taken.begin(), taken.end());
    std::size_t offset = 0;
    for (const auto& [begin, end] : taken) {
      if (offset + size <= begin) break;
      offset = std::max(offset, (end + kAlign - 1) / kAlign * kAlign);
    }
    plan.offsets[i] = offset;
    plan.bytes = std::max(plan.bytes, offset + size);
    placed.push_back(i);
  }
  return plan;
}

}  // namespace nn::onednn
