// Which replica has an image that isn't where its id leads: when a replica is full or away, the
// next one encodes the image, and whatever is asked about it should go there too, not have it
// encoded once more by the one that was full.
//
// Bounded, and forgotten after a while; what is forgotten costs an encoder pass. Thread-safe.
// Internal to backends.
#ifndef DUET_BACKENDS_DETOURS_H_
#define DUET_BACKENDS_DETOURS_H_

#include <absl/container/flat_hash_map.h>

#include <chrono>
#include <cstddef>
#include <list>
#include <mutex>
#include <string>

namespace backends {

class Detours {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Detours(std::size_t capacity = 10'000, Clock::duration age = std::chrono::minutes(10))
      : capacity_(capacity), age_(age) {}

  // The address of the replica that was given the image; "" if that is the one it belongs to.
  std::string Find(const std::string& image_id, Clock::time_point now = Clock::now()) const;
  void Put(const std::string& image_id, std::string address, Clock::time_point now = Clock::now());
  void Erase(const std::string& image_id);
  std::size_t size() const;

 private:
  struct Entry {
    std::string image_id;
    std::string address;
    Clock::time_point since;
  };

  const std::size_t capacity_;
  const Clock::duration age_;
  mutable std::mutex mutex_;
  std::list<Entry> by_age_;  // front: the latest; guarded by mutex_
  absl::flat_hash_map<std::string, std::list<Entry>::iterator> index_;  // guarded by mutex_
};

}  // namespace backends

#endif  // DUET_BACKENDS_DETOURS_H_
