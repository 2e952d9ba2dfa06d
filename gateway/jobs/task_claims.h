// TaskClaims says which request or background job works on a task, so that no other one computes
// and stores it a second time.
//
// An owner is a request or a background job; a task is named by a text. Thread-safe.
#ifndef DUET_GATEWAY_JOBS_TASK_CLAIMS_H_
#define DUET_GATEWAY_JOBS_TASK_CLAIMS_H_

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace gateway::jobs {

class TaskClaims {
 public:
  using Owner = std::uint64_t;

  Owner NewOwner() {
    const std::lock_guard lock(mutex_);
    return next_++;
  }
  // False if any owner has it.
  bool Take(const std::string& task, Owner owner) {
    const std::lock_guard lock(mutex_);
    return owners_.try_emplace(task, owner).second;
  }
  // False if `from` doesn't have it.
  bool HandOver(const std::string& task, Owner from, Owner to) {
    const std::lock_guard lock(mutex_);
    const auto found = owners_.find(task);
    if (found == owners_.end() || found->second != from) return false;
    found->second = to;
    return true;
  }
  bool Has(const std::string& task, Owner owner) const {
    const std::lock_guard lock(mutex_);
    const auto found = owners_.find(task);
    return found != owners_.end() && found->second == owner;
  }
  // Nothing if `owner` doesn't have it.
  void Release(const std::string& task, Owner owner) {
    const std::lock_guard lock(mutex_);
    const auto found = owners_.find(task);
    if (found != owners_.end() && found->second == owner) owners_.erase(found);
  }
  // Releases it, whichever owner has it.
  void Release(const std::string& task) {
    const std::lock_guard lock(mutex_);
    owners_.erase(task);
  }

 private:
  mutable std::mutex mutex_;
  Owner next_ = 1;                                  // guarded by mutex_
  absl::flat_hash_map<std::string, Owner> owners_;  // guarded by mutex_
};

// The claims of one request. Releases at its end what it still holds. Keeps the table alive, since
// a coroutine may be destroyed after everything else.
class RequestClaims {
 public:
  explicit RequestClaims(std::shared_ptr<TaskClaims> claims)
      : claims_(std::move(claims)), owner_(claims_->NewOwner()) {}
  ~RequestClaims() {
    for (const std::string& task : tasks_) claims_->Release(task, owner_);
  }
  RequestClaims(const RequestClaims&) = delete;
  RequestClaims& operator=(const RequestClaims&) = delete;

  bool Take(std::string task) {
    if (!claims_->Take(task, owner_)) return false;
    tasks_.push_back(std::move(task));
    return true;
  }
  TaskClaims::Owner owner() const { return owner_; }

 private:
  const std::shared_ptr<TaskClaims> claims_;
  const TaskClaims::Owner owner_;
  std::vector<std::string> tasks_;
};

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_TASK_CLAIMS_H_
