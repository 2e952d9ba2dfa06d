#include "backends/detours.h"

#include <utility>

namespace backends {

std::string Detours::Find(const std::string& image_id, Clock::time_point now) const {
  const std::lock_guard lock(mutex_);
  const auto found = index_.find(image_id);
  if (found == index_.end() || now - found->second->since > age_) return "";
  return found->second->address;
}

void Detours::Put(const std::string& image_id, std::string address, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  const auto found = index_.find(image_id);
  if (found != index_.end()) {
    by_age_.erase(found->second);
    index_.erase(found);
  }
  by_age_.push_front({image_id, std::move(address), now});
  index_.emplace(image_id, by_age_.begin());
  while (by_age_.size() > capacity_ || now - by_age_.back().since > age_) {
    index_.erase(by_age_.back().image_id);
    by_age_.pop_back();
  }
}

void Detours::Erase(const std::string& image_id) {
  const std::lock_guard lock(mutex_);
  const auto found = index_.find(image_id);
  if (found == index_.end()) return;
  by_age_.erase(found->second);
  index_.erase(found);
}

std::size_t Detours::size() const {
  const std::lock_guard lock(mutex_);
  return by_age_.size();
}

}  // namespace backends
