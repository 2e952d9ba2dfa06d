#include "tests/integration/trainer_service/fake_project.h"

#include <absl/strings/str_cat.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>

#include "tests/integration/gateway/tiny_json.h"

namespace trainer_service::testing {

namespace json = boost::json;
using duet_testing::JsonResponse;
using duet_testing::Parameter;
using duet_testing::TinyRequest;
using duet_testing::TinyResponse;

namespace {

std::string ConfigOf(const std::vector<std::string>& labels) {
  std::string values;
  for (const std::string& label : labels)
    absl::StrAppend(&values, "<Label value=\"", label, "\"/>");
  return absl::StrCat(R"(<View><Image name="image" value="$image"/>)",
                      R"(<RectangleLabels name="label" toName="image">)", values,
                      R"(</RectangleLabels><PolygonLabels name="outline" toName="image">)", values,
                      "</PolygonLabels></View>");
}

}  // namespace

json::object Rectangle(const std::string& label, double x, double y, double width, double height,
                       int image_width, int image_height) {
  return {{"id", absl::StrCat(label, x, y)},
          {"type", "rectanglelabels"},
          {"from_name", "label"},
          {"to_name", "image"},
          {"original_width", image_width},
          {"original_height", image_height},
          {"value",
           {{"x", x},
            {"y", y},
            {"width", width},
            {"height", height},
            {"rotation", 0},
            {"rectanglelabels", json::array{label}}}}};
}

json::object Diamond(const std::string& label, double x, double y, double width, double height,
                     int image_width, int image_height) {
  const auto point = [](double left, double top) { return json::array{left, top}; };
  return {{"id", absl::StrCat("outline", label, x, y)},
          {"type", "polygonlabels"},
          {"from_name", "outline"},
          {"to_name", "image"},
          {"original_width", image_width},
          {"original_height", image_height},
          {"value",
           {{"points",
             {point(x + width / 2, y), point(x + width, y + height / 2),
              point(x + width / 2, y + height), point(x, y + height / 2)}},
            {"closed", true},
            {"polygonlabels", json::array{label}}}}};
}

FakeProject::FakeProject(std::vector<std::string> labels)
    : label_config_(ConfigOf(labels)),
      server_([this](const auto& request) { return Answer(request); }) {}

void FakeProject::AddTask(std::int64_t id, const std::string& image,
                          std::vector<Annotation> annotations) {
  const std::lock_guard lock(mutex_);
  tasks_[id] = {image, std::move(annotations)};
}

void FakeProject::SetLabels(const std::vector<std::string>& labels) {
  const std::lock_guard lock(mutex_);
  label_config_ = ConfigOf(labels);
}

void FakeProject::RemoveImage(std::int64_t task) {
  const std::lock_guard lock(mutex_);
  tasks_.at(task).image.clear();
}

void FakeProject::SetCreated(const std::string& created_at) {
  const std::lock_guard lock(mutex_);
  created_at_ = created_at;
}

std::vector<std::size_t> FakeProject::pages() const {
  const std::lock_guard lock(mutex_);
  return pages_;
}

// GET /api/tasks: the data manager's list with its filters.
json::value FakeProject::List(const std::string& target) const {
  EXPECT_EQ(Parameter(target, "resolve_uri"), "false") << "image strings must come as imported";
  EXPECT_EQ(Parameter(target, "fields"), "all");
  const json::value query = json::parse(Parameter(target, "query"));
  EXPECT_EQ(query.at("ordering").at(0), "tasks:id");
  std::int64_t after = 0;
  bool annotated_only = false;
  for (const json::value& filter : query.at("filters").at("items").as_array()) {
    EXPECT_EQ(filter.at("operator"), "greater");
    if (filter.at("filter") == "filter:tasks:id") after = filter.at("value").as_int64();
    if (filter.at("filter") == "filter:tasks:total_annotations") annotated_only = true;
  }
  const std::size_t page_size = std::stoul(Parameter(target, "page_size"));
  json::array tasks;
  const std::lock_guard lock(mutex_);
  pages_.push_back(page_size);
  for (const auto& [id, task] : tasks_) {
    const bool annotated = std::any_of(task.annotations.begin(), task.annotations.end(),
                                       [](const Annotation& one) { return !one.cancelled; });
    if (id <= after || tasks.size() == page_size || (annotated_only && !annotated)) continue;
    json::array annotations;
    for (const Annotation& one : task.annotations) {
      annotations.push_back({{"id", id * 100 + static_cast<std::int64_t>(annotations.size())},
                             {"result", one.result},
                             {"created_at", one.created_at},
                             {"was_cancelled", one.cancelled}});
    }
    tasks.push_back({{"id", id},
                     {"data", {{"image", absl::StrCat("/data/upload/7/", id, ".jpg")}}},
                     {"annotations", std::move(annotations)},
                     {"predictions", {{{"result", json::array{}}}}},
                     {"drafts", json::array{}}});
  }
  return {{"total", tasks.size()}, {"tasks", std::move(tasks)}};
}

TinyResponse FakeProject::Answer(const TinyRequest& request) {
  if (failures > 0 && failures-- > 0) return JsonResponse({{"detail", "away"}}, failure_status);
  const auto token = request.headers.find("authorization");
  if (token == request.headers.end() || token->second != std::string("Token ") + kToken) {
    return JsonResponse({{"detail", "Authentication credentials were not provided."}}, 401);
  }
  const std::string path = request.target.substr(0, request.target.find('?'));
  if (deleted) return JsonResponse({{"detail", "Not found."}}, 404);
  if (path == "/api/projects/7/") {
    const std::lock_guard lock(mutex_);
    return JsonResponse({{"id", 7},
                         {"label_config", label_config_},
                         {"sampling", nullptr},
                         {"created_at", created_at_}});
  }
  if (path == "/api/tasks") {
    const json::value list = List(request.target);
    const json::array& tasks = list.at("tasks").as_array();
    const bool has_giant = std::any_of(tasks.begin(), tasks.end(), [this](const json::value& task) {
      return task.at("id").as_int64() == giant;
    });
    if (!has_giant || tasks.size() <= 10) return JsonResponse(list);
    return {.body = std::string(std::size_t{65} << 20, ' ')};  // more than an answer may have
  }
  if (constexpr std::string_view kUploads = "/data/upload/7/"; path.starts_with(kUploads)) {
    const std::lock_guard lock(mutex_);
    const auto task = tasks_.find(std::stoll(path.substr(kUploads.size())));
    if (task != tasks_.end() && !task->second.image.empty()) return {.body = task->second.image};
  }
  return JsonResponse({{"detail", "Not found."}}, 404);
}

}  // namespace trainer_service::testing
