#include "image_fetch/fetch_queue.h"

#include <algorithm>
#include <utility>

namespace image_fetch {

void FetchQueue::Add(std::shared_ptr<Download> download) {
  waiting_.push_back(std::move(download));
}

void FetchQueue::Remove(const std::shared_ptr<Download>& download) {
  std::erase(waiting_, download);
}

std::shared_ptr<Download> FetchQueue::TakeNext() {
  if (running_ >= max_running_) return nullptr;
  const auto next =
      std::find_if(waiting_.begin(), waiting_.end(), [this](const std::shared_ptr<Download>& one) {
        const auto lane = running_in_lane_.find(one->location.lane);
        return (lane == running_in_lane_.end() ? 0 : lane->second) < max_running_ - running_;
      });
  if (next == waiting_.end()) return nullptr;
  std::shared_ptr<Download> download = std::move(*next);
  waiting_.erase(next);
  ++running_;
  ++running_in_lane_[download->location.lane];
  return download;
}

void FetchQueue::Finish(const Download& download) {
  --running_;
  const auto lane = running_in_lane_.find(download.location.lane);
  if (--lane->second == 0) running_in_lane_.erase(lane);
}

}  // namespace image_fetch
