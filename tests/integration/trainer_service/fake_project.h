// A Label Studio with one annotated project, over real HTTP, as far as duet-trainer asks it.
#ifndef DUET_TESTS_INTEGRATION_TRAINER_SERVICE_FAKE_PROJECT_H_
#define DUET_TESTS_INTEGRATION_TRAINER_SERVICE_FAKE_PROJECT_H_

#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "tests/integration/gateway/tiny_http_server.h"

namespace trainer_service::testing {

// Project 7. Its tasks have one image each, at /data/upload/7/NAME, which needs the token as well.
class FakeProject {
 public:
  static constexpr char kToken[] = "0123456789abcdef0123456789abcdef01234567";

  // `labels`: of its <RectangleLabels> and <PolygonLabels>.
  explicit FakeProject(std::vector<std::string> labels);

  std::string url() const { return server_.url(); }
  int requests() const { return server_.requests(); }

  struct Annotation {
    boost::json::array result;
    std::string created_at = "2026-11-30T08:00:00Z";
    bool cancelled = false;
  };
  // `image`: encoded. Without annotations nobody has looked at it.
  void AddTask(std::int64_t id, const std::string& image, std::vector<Annotation> annotations);
  // Settings → Labeling Interface.
  void SetLabels(const std::vector<std::string>& labels);
  void RemoveImage(std::int64_t task);

  // So many requests are answered so first.
  std::atomic<int> failures = 0;
  std::atomic<int> failure_status = 503;
  std::atomic<bool> deleted = false;
  // A task with so many brush strokes that an answer can't have it and more than nine others.
  std::atomic<std::int64_t> giant = 0;
  // When it was created: by it two projects 7 differ.
  void SetCreated(const std::string& created_at);
  // The page sizes that were asked for.
  std::vector<std::size_t> pages() const;

 private:
  struct Task {
    std::string image;
    std::vector<Annotation> annotations;
  };
  duet_testing::TinyResponse Answer(const duet_testing::TinyRequest& request);
  boost::json::value List(const std::string& target) const;

  mutable std::mutex mutex_;
  std::string label_config_;                           // guarded by mutex_
  std::string created_at_ = "2026-11-01T08:00:00.5Z";  // guarded by mutex_
  mutable std::vector<std::size_t> pages_;             // guarded by mutex_
  std::map<std::int64_t, Task> tasks_;                 // guarded by mutex_
  duet_testing::TinyHttpServer server_;                // last: its threads use the others
};

// A rectangle in percent of an image of this size.
boost::json::object Rectangle(const std::string& label, double x, double y, double width,
                              double height, int image_width, int image_height);

// What was drawn around a thing of that box, as a polygon: a diamond.
boost::json::object Diamond(const std::string& label, double x, double y, double width,
                            double height, int image_width, int image_height);

}  // namespace trainer_service::testing

#endif  // DUET_TESTS_INTEGRATION_TRAINER_SERVICE_FAKE_PROJECT_H_
