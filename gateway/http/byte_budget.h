// ByteBudget bounds the memory that the requests of all connections take together: their bodies,
// and what is parsed of them. Whoever would go beyond it is refused with 503, since others will be
// done soon.
#ifndef DUET_GATEWAY_HTTP_BYTE_BUDGET_H_
#define DUET_GATEWAY_HTTP_BYTE_BUDGET_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace gateway::http {

// Thread-safe.
class ByteBudget {
 public:
  // `whole`: what is taken here is taken of it, too; null if this is no part of another one.
  explicit ByteBudget(std::size_t limit_bytes, std::shared_ptr<ByteBudget> whole = nullptr)
      : limit_(limit_bytes), whole_(std::move(whole)) {}

  // False if that many bytes aren't left; then nothing is taken.
  bool TryTake(std::size_t bytes) {
    std::size_t taken = taken_.load(std::memory_order_relaxed);
    do {
      if (bytes > limit_ - taken) return false;
    } while (!taken_.compare_exchange_weak(taken, taken + bytes, std::memory_order_relaxed));
    if (whole_ == nullptr || whole_->TryTake(bytes)) return true;
    taken_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  // REQUIRES: they were taken.
  void GiveBack(std::size_t bytes) {
    taken_.fetch_sub(bytes, std::memory_order_relaxed);
    if (whole_ != nullptr) whole_->GiveBack(bytes);
  }

  std::size_t taken() const { return taken_.load(std::memory_order_relaxed); }

 private:
  const std::size_t limit_;
  const std::shared_ptr<ByteBudget> whole_;
  std::atomic<std::size_t> taken_ = 0;  // never more than limit_
};

// What one holder has taken of a budget; given back at its end. Used by one thread at a time.
class ByteLease {
 public:
  ByteLease() = default;  // of no budget: grows without a bound
  explicit ByteLease(std::shared_ptr<ByteBudget> budget) : budget_(std::move(budget)) {}
  ByteLease(ByteLease&& other) noexcept
      : budget_(other.budget_), bytes_(std::exchange(other.bytes_, 0)) {}
  ByteLease& operator=(ByteLease&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~ByteLease() { Shrink(bytes_); }

  // False if the budget has not that many left.
  bool Grow(std::size_t bytes) {
    if (budget_ != nullptr && !budget_->TryTake(bytes)) return false;
    bytes_ += bytes;
    return true;
  }
  // REQUIRES: bytes <= bytes().
  void Shrink(std::size_t bytes) {
    if (budget_ != nullptr) budget_->GiveBack(bytes);
    bytes_ -= bytes;
  }
  std::size_t bytes() const { return bytes_; }
  // Null if there is none.
  const std::shared_ptr<ByteBudget>& budget() const { return budget_; }

 private:
  std::shared_ptr<ByteBudget> budget_;
  std::size_t bytes_ = 0;
};

}  // namespace gateway::http

#endif  // DUET_GATEWAY_HTTP_BYTE_BUDGET_H_
