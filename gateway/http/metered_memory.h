// Memory for JSON values, taken from a budget: a document takes up to twenty times its text.
#ifndef DUET_GATEWAY_HTTP_METERED_MEMORY_H_
#define DUET_GATEWAY_HTTP_METERED_MEMORY_H_

#include <boost/json/memory_resource.hpp>
#include <boost/json/storage_ptr.hpp>
#include <memory>
#include <new>
#include <utility>

#include "gateway/http/byte_budget.h"

namespace gateway::http {

// Throws std::bad_alloc beyond the budget. Thread-safe.
class MeteredMemory final : public boost::json::memory_resource {
 public:
  // REQUIRES: `budget` is not null.
  explicit MeteredMemory(std::shared_ptr<ByteBudget> budget) : budget_(std::move(budget)) {}

 private:
  // As malloc counts: in steps of 16 with 8 before.
  static std::size_t Rounded(std::size_t bytes) { return (bytes + 8 + 15) / 16 * 16; }

  void* do_allocate(std::size_t bytes, std::size_t) override {
    if (!budget_->TryTake(Rounded(bytes))) throw std::bad_alloc();
    void* const memory = ::operator new(bytes, std::nothrow);
    if (memory == nullptr) {
      budget_->GiveBack(Rounded(bytes));
      throw std::bad_alloc();
    }
    return memory;
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t) override {
    ::operator delete(memory);
    budget_->GiveBack(Rounded(bytes));
  }
  bool do_is_equal(const boost::json::memory_resource& other) const noexcept override {
    return this == &other;
  }

  const std::shared_ptr<ByteBudget> budget_;
};

// Of `budget`; the default memory if it is null.
inline boost::json::storage_ptr MemoryOf(const std::shared_ptr<ByteBudget>& budget) {
  if (budget == nullptr) return {};
  return boost::json::make_shared_resource<MeteredMemory>(budget);
}

}  // namespace gateway::http

#endif  // DUET_GATEWAY_HTTP_METERED_MEMORY_H_
