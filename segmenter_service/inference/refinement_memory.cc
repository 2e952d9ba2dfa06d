#include "segmenter_service/inference/refinement_memory.h"

#include <algorithm>

namespace segmenter {

std::vector<float> RefinementMemory::FindEarlier(const std::string& key, const Prompt& prompt) {
  if (prompt.points.empty()) return {};
  const auto points = absl::MakeConstSpan(prompt.points);
  std::lock_guard lock(mutex_);
  auto found = by_recency_.end();
  // A first point extends a box, but nothing if there is none.
  if (points.size() > 1 || prompt.box) {
    found = Find(key, points.first(points.size() - 1), prompt.box);
  }
  if (found == by_recency_.end() && prompt.box) found = Find(key, points, std::nullopt);
  return found == by_recency_.end() ? std::vector<float>{} : found->logits;
}

void RefinementMemory::Keep(const std::string& key, const Prompt& prompt,
                            absl::Span<const float> logits) {
  std::lock_guard lock(mutex_);
  if (const auto found = Find(key, prompt.points, prompt.box); found != by_recency_.end()) {
    by_recency_.erase(found);
  }
  by_recency_.push_front(
      {key, prompt.points, prompt.box, std::vector<float>(logits.begin(), logits.end())});
  if (by_recency_.size() > capacity_) by_recency_.pop_back();
}

std::list<RefinementMemory::Entry>::iterator RefinementMemory::Find(
    const std::string& key, absl::Span<const PromptPoint> points,
    const std::optional<vision::Box>& box) {
  return std::find_if(by_recency_.begin(), by_recency_.end(), [&](const Entry& entry) {
    return entry.key == key && entry.box == box && absl::MakeConstSpan(entry.points) == points;
  });
}

}  // namespace segmenter
