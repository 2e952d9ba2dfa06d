// Lru keeps what was used last, within two bounds, on entries and on bytes: a table whose keys come
// from clients can't grow beyond them, and a full one loses its oldest entry instead of all.
#ifndef DUET_CONTAINERS_LRU_H_
#define DUET_CONTAINERS_LRU_H_

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <list>
#include <string>
#include <utility>

namespace containers {

// Every call takes constant time. Not thread-safe.
template <typename Value>
class Lru {
 public:
  // `max_bytes` bounds what Insert says of the values, keys and an entry's own size included.
  Lru(std::size_t max_entries, std::size_t max_bytes)
      : max_entries_(max_entries), max_bytes_(max_bytes) {}

  // Null if it isn't there. A use: the entry is now the most recent one. The pointer holds until
  // the next Insert or Erase.
  Value* Find(const std::string& key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return nullptr;
    by_recency_.splice(by_recency_.begin(), by_recency_, found->second);
    return &found->second->value;
  }

  // Replaces what was there. `bytes`: of the value, about. One larger than the whole is not kept.
  void Insert(const std::string& key, Value value, std::size_t bytes) {
    Erase(key);
    bytes += 2 * key.size() + sizeof(Entry) + 64;
    if (bytes > max_bytes_ || max_entries_ == 0) return;
    by_recency_.push_front({key, std::move(value), bytes});
    by_key_[key] = by_recency_.begin();
    bytes_ += bytes;
    while (by_recency_.size() > max_entries_ || bytes_ > max_bytes_) {
      const std::string oldest = by_recency_.back().key;
      Erase(oldest);
    }
  }

  void Erase(const std::string& key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return;
    bytes_ -= found->second->bytes;
    by_recency_.erase(found->second);
    by_key_.erase(found);
  }

  std::size_t size() const { return by_recency_.size(); }
  std::size_t bytes() const { return bytes_; }

  // Calls `visit(value)` for all, the most recent one first.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (Entry& entry : by_recency_) visit(entry.value);
  }

 private:
  struct Entry {
    std::string key;
    Value value;
    std::size_t bytes;
  };

  const std::size_t max_entries_;
  const std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::list<Entry> by_recency_;  // front: most recently used
  absl::flat_hash_map<std::string, typename std::list<Entry>::iterator> by_key_;
};

}  // namespace containers

#endif  // DUET_CONTAINERS_LRU_H_
