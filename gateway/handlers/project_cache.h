// ProjectCache keeps projects that were parsed before: the label config comes with every request.
#ifndef DUET_GATEWAY_HANDLERS_PROJECT_CACHE_H_
#define DUET_GATEWAY_HANDLERS_PROJECT_CACHE_H_

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "gateway/handlers/project.h"
#include "gateway/handlers/settings.h"

namespace gateway::handlers {

// Once the projects' summed size exceeds the budget, the least recently used ones are dropped.
// Thread-safe.
class ProjectCache {
 public:
  explicit ProjectCache(std::size_t budget_bytes = 64 << 20) : budget_bytes_(budget_bytes) {}

  // Parses, or finds what was parsed from the same text with settings that give the same answers. A
  // long text is looked at on `pool`. Both arguments are used until the end. Errors are
  // Project::Create's.
  boost::asio::awaitable<absl::StatusOr<std::shared_ptr<Project>>> Get(
      boost::asio::thread_pool& pool, const std::string& label_config, const Settings& settings);

  // Bytes that the projects take, about.
  std::size_t bytes() const;

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<Project> project;
    std::size_t bytes = 0;
  };
  using Entries = std::list<Entry>;

  absl::StatusOr<std::shared_ptr<Project>> FindOrParse(const std::string& label_config,
                                                       const Settings& settings);
  // REQUIRES: mutex_ is held.
  void Drop(Entries::iterator entry);

  const std::size_t budget_bytes_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Entries by_recency_;  // front: most recently used
  absl::flat_hash_map<std::string, Entries::iterator> by_key_;
  std::size_t bytes_ = 0;
};

}  // namespace gateway::handlers

#endif  // DUET_GATEWAY_HANDLERS_PROJECT_CACHE_H_
