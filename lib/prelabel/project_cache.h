// ProjectCache keeps parsed projects, since the label config comes with every request.
#ifndef DUET_PRELABEL_PROJECT_CACHE_H_
#define DUET_PRELABEL_PROJECT_CACHE_H_

#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "containers/lru.h"
#include "prelabel/project.h"
#include "prelabel/settings.h"

namespace prelabel {

// Once the projects' summed size exceeds the budget, the least recently used ones are dropped.
// Thread-safe.
class ProjectCache {
 public:
  static constexpr std::size_t kMaxProjects = 10'000;

  explicit ProjectCache(std::size_t budget_bytes = 64 << 20)
      : projects_(kMaxProjects, budget_bytes) {}

  // Parses the label config, or finds the project that was made of the same text and of settings
  // that give the same answers. A long text is parsed on `pool`. `label_config` and `settings` must
  // outlive the call. Errors are Project::Create's.
  boost::asio::awaitable<absl::StatusOr<std::shared_ptr<Project>>> Get(
      boost::asio::thread_pool& pool, const std::string& label_config, const Settings& settings);

  // Bytes that the projects take, about.
  std::size_t bytes() const;

  // Calls of Get: all of them, and those that found the project.
  struct Lookups {
    std::int64_t found = 0;
    std::int64_t all = 0;
  };
  Lookups lookups() const;

 private:
  absl::StatusOr<std::shared_ptr<Project>> FindOrParse(const std::string& label_config,
                                                       const Settings& settings);

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  containers::Lru<std::shared_ptr<Project>> projects_;
  Lookups lookups_;
};

}  // namespace prelabel

#endif  // DUET_PRELABEL_PROJECT_CACHE_H_
