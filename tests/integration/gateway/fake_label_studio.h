// Label Studio's REST API in memory, over real HTTP: one project, its tasks and what is stored for
// them. Answers what label_studio_api asks, as a real one does (tests/e2e asks a real one
// the same).
#ifndef DUET_TESTS_INTEGRATION_GATEWAY_FAKE_LABEL_STUDIO_H_
#define DUET_TESTS_INTEGRATION_GATEWAY_FAKE_LABEL_STUDIO_H_

#include <atomic>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "tests/integration/gateway/tiny_http_server.h"

namespace gateway::testing {

class FakeLabelStudio {
 public:
  static constexpr char kToken[] = "0123456789abcdef0123456789abcdef01234567";

  ~FakeLabelStudio() { hangs = false; }
  FakeLabelStudio() : server_([this](const auto& request) { return Answer(request); }) {}

  std::string url() const { return server_.url(); }

  // Set before the first call.
  std::string label_config;
  std::string sampling = "Sequential sampling";
  std::string created_at = "2026-11-23T00:54:13.814966Z";  // as in "1.1795395253"
  std::string backend_url = "http://127.0.0.1:8003";       // of the project's one ML backend
  // Any time. As many calls as this are answered with this status first.
  std::atomic<int> failures = 0;
  std::atomic<int> failure_status = 503;
  // While it is true no call is answered.
  std::atomic<bool> hangs = false;
  // The most tasks that a page has (TASK_API_PAGE_SIZE_MAX); 0: as many as are asked for.
  std::atomic<std::size_t> max_page = 0;
  // The next import of predictions is answered with 504, and is stored only after so many further
  // lists of tasks; 0: it isn't so.
  std::atomic<int> import_late = 0;
  // Predictions of this task are left out of an import, which says how many it has stored.
  std::atomic<std::int64_t> import_drops = 0;
  // A prediction of this task is invalid, and the import with it.
  std::atomic<std::int64_t> import_refuses = 0;

  void AddTask(std::int64_t id, const std::string& image, bool labelled = false);
  // As of a task that was there before, with an annotation from now.
  void Annotate(std::int64_t id);
  void DeleteTask(std::int64_t id);
  void AddPrediction(std::int64_t task, const std::string& model_version);
  // Of one task, in the order they came.
  std::vector<boost::json::object> predictions(std::int64_t task) const;
  std::size_t prediction_count() const;
  int requests() const { return server_.requests(); }
  int counts() const { return counts_; }  // requests of how many tasks were annotated
  int imports() const { return imports_; }

 private:
  struct Task {
    std::string image;
    bool labelled = false;
    std::string completed_at = "";  // "2026-11-30T09:13:14.816Z"
  };
  duet_testing::TinyResponse Answer(const duet_testing::TinyRequest& request);
  std::size_t TaskCount() const;
  boost::json::value List(const std::string& target);
  duet_testing::TinyResponse Import(const std::string& body);

  std::atomic<int> counts_ = 0;
  std::atomic<int> imports_ = 0;
  int lists_until_stored_ = 0;             // guarded by mutex_
  std::vector<boost::json::object> late_;  // guarded by mutex_
  mutable std::mutex mutex_;
  std::map<std::int64_t, Task> tasks_;            // guarded by mutex_
  std::vector<boost::json::object> predictions_;  // guarded by mutex_
  duet_testing::TinyHttpServer server_;           // last: its threads use the others
};

}  // namespace gateway::testing

#endif  // DUET_TESTS_INTEGRATION_GATEWAY_FAKE_LABEL_STUDIO_H_
