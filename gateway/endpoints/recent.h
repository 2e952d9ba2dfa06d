// What happened lately, for the page at /ui: requests, tasks that failed with the sentence that
// Label Studio shows nobody, and the projects that are connected. In memory, within bounds.
#ifndef DUET_GATEWAY_ENDPOINTS_RECENT_H_
#define DUET_GATEWAY_ENDPOINTS_RECENT_H_

#include <absl/time/time.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "containers/lru.h"
#include "prelabel/project.h"

namespace gateway::endpoints {

// Thread-safe.
class Recent {
 public:
  static constexpr std::size_t kRequests = 100;
  static constexpr std::size_t kFailures = 100;
  static constexpr std::size_t kProjects = 100;
  static constexpr std::size_t kProjectBytes = 32 << 20;
  // Of a failure's sentence.
  static constexpr std::size_t kMaxSentence = 1000;

  struct Request {
    absl::Time at;  // of its end
    std::string route;
    int status = 0;
    double elapsed_ms = 0;
  };
  struct Failure {
    absl::Time at;
    std::string profile;
    std::string project;       // Label Studio's id; "" if none was named
    std::int64_t task_id = 0;  // 0: it isn't about one task
    std::string kind;          // "batch", "opened", "interactive", "setup"
    std::string sentence;
  };
  struct Project {
    absl::Time at;  // of its last /setup
    std::string profile;
    std::string id;
    std::string model_name;  // that its models are asked for by
    std::shared_ptr<prelabel::Project> project;
  };

  void Answered(Request request);
  // A longer sentence is cut.
  void Failed(Failure failure);
  // REQUIRES: project.project is not null.
  void Connected(Project project);

  // Each the newest first.
  std::vector<Request> requests() const;
  std::vector<Failure> failures() const;
  std::vector<Project> projects();

 private:
  mutable std::mutex mutex_;
  // Guarded by mutex_; front: the newest.
  std::deque<Request> requests_;
  std::deque<Failure> failures_;
  containers::Lru<Project> projects_{kProjects, kProjectBytes};
};

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_RECENT_H_
