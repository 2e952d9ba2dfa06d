// SharedMemory keeps what several threads compute and need again, within a bound on bytes, and lets
// nobody compute what another thread is computing already. Internal to augment.
#ifndef DUET_TRAINER_AUGMENT_SHARED_MEMORY_H_
#define DUET_TRAINER_AUGMENT_SHARED_MEMORY_H_

#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "containers/lru.h"

namespace trainer {

// Thread-safe.
template <typename Value>
class SharedMemory {
 public:
  using Pointer = std::shared_ptr<const Value>;

  explicit SharedMemory(std::size_t max_bytes)
      : values_(std::numeric_limits<std::size_t>::max(), max_bytes) {}

  // What is kept under `key`; otherwise what `make` gives, which is then kept unless it is an
  // error, as `bytes_of(value)` bytes. `make` may not ask this object for anything. Passes
  // exceptions on.
  absl::StatusOr<Pointer> Get(std::uint64_t key, absl::FunctionRef<absl::StatusOr<Pointer>()> make,
                              absl::FunctionRef<std::size_t(const Value&)> bytes_of) {
    {
      std::unique_lock lock(mutex_);
      // Whoever waited for an error computes it once more.
      made_.wait(lock, [&] { return !in_the_making_.contains(key); });
      if (const Pointer* value = values_.Find(std::to_string(key))) return *value;
      in_the_making_.insert(key);
    }
    const InTheMaking mark{this, key};
    absl::StatusOr<Pointer> value = make();
    if (value.ok()) {
      const std::size_t bytes = bytes_of(**value);
      const std::lock_guard lock(mutex_);
      values_.Insert(std::to_string(key), *value, bytes);
    }
    return value;
  }

 private:
  struct InTheMaking {
    ~InTheMaking() {
      {
        const std::lock_guard lock(memory->mutex_);
        memory->in_the_making_.erase(key);
      }
      memory->made_.notify_all();
    }
    SharedMemory* memory;
    std::uint64_t key;
  };

  std::mutex mutex_;  // guards all below
  std::condition_variable made_;
  std::set<std::uint64_t> in_the_making_;
  containers::Lru<Pointer> values_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_AUGMENT_SHARED_MEMORY_H_
