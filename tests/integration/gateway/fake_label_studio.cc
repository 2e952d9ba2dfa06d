#include "tests/integration/gateway/fake_label_studio.h"

#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <thread>

#include "tests/integration/gateway/tiny_json.h"

namespace gateway::testing {

namespace json = boost::json;
using duet_testing::JsonResponse;
using duet_testing::Parameter;
using duet_testing::TinyRequest;
using duet_testing::TinyResponse;

void FakeLabelStudio::AddTask(std::int64_t id, const std::string& image, bool labelled) {
  const std::lock_guard lock(mutex_);
  tasks_[id] = {image, labelled, labelled ? "2026-01-01T00:00:00.000Z" : ""};
}

void FakeLabelStudio::Annotate(std::int64_t id) {
  const std::lock_guard lock(mutex_);
  tasks_[id].labelled = true;
  tasks_[id].completed_at =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
}

void FakeLabelStudio::AddPrediction(std::int64_t task, const std::string& model_version) {
  const std::lock_guard lock(mutex_);
  predictions_.push_back({{"task", task}, {"model_version", model_version}});
}

std::vector<json::object> FakeLabelStudio::predictions(std::int64_t task) const {
  const std::lock_guard lock(mutex_);
  std::vector<json::object> found;
  for (const json::object& prediction : predictions_) {
    if (prediction.at("task").as_int64() == task) found.push_back(prediction);
  }
  return found;
}

std::size_t FakeLabelStudio::prediction_count() const {
  const std::lock_guard lock(mutex_);
  return predictions_.size();
}

// GET /api/tasks: the data manager's list with its filters and ordering.
json::value FakeLabelStudio::List(const std::string& target) const {
  EXPECT_EQ(Parameter(target, "resolve_uri"), "false") << "image strings must come as imported";
  const json::value query = json::parse(Parameter(target, "query"));
  const std::size_t page_size = std::stoul(Parameter(target, "page_size"));
  const auto passes = [&](std::int64_t id, const Task& task) {
    for (const json::value& filter : query.at("filters").at("items").as_array()) {
      const std::string column(filter.at("filter").as_string());
      const bool greater = filter.at("operator") == "greater";
      const json::value& value = filter.at("value");
      if (column == "filter:tasks:id" && id <= value.as_int64()) return false;
      if (column == "filter:tasks:total_annotations" && task.labelled != greater) return false;
      if (column != "filter:tasks:completed_at") continue;
      if (!greater) {
        EXPECT_EQ(query.at("ordering").at(0),
                  sampling == "Sequential sampling" ? "tasks:id" : "tasks:predictions_score");
      }
      if (!greater && task.labelled) return false;
      if (greater && task.completed_at <= std::string(value.as_string())) return false;
    }
    return true;
  };
  if (page_size == 1) ++counts_;
  json::array tasks;
  std::size_t total = 0;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, task] : tasks_) {
    if (!passes(id, task)) continue;
    ++total;
    if (tasks.size() == page_size) continue;
    tasks.push_back({{"id", id}, {"data", {{"image", task.image}}}});
  }
  return {{"total", total}, {"tasks", std::move(tasks)}};
}

TinyResponse FakeLabelStudio::Answer(const TinyRequest& request) {
  while (hangs) std::this_thread::yield();
  if (failures > 0 && failures-- > 0) return JsonResponse({{"detail", "away"}}, failure_status);
  const auto token = request.headers.find("authorization");
  if (token == request.headers.end() || token->second != std::string("Token ") + kToken) {
    return JsonResponse({{"detail", "Authentication credentials were not provided."}}, 401);
  }
  const std::string path = request.target.substr(0, request.target.find('?'));
  if (request.method == "GET" && path == "/api/projects/1/") {
    return JsonResponse({{"id", 1},
                         {"label_config", label_config},
                         {"sampling", sampling},
                         {"created_at", created_at}});
  }
  if (request.method == "GET" && path == "/api/tasks") return JsonResponse(List(request.target));
  if (request.method == "GET" && path == "/api/ml" && Parameter(request.target, "project") == "1") {
    return JsonResponse(json::array{{{"id", 1}, {"url", backend_url}, {"state", "CO"}}});
  }
  if (request.method == "GET" && path == "/api/predictions/") {
    json::array stored;
    for (json::object& one : predictions(std::stoll(Parameter(request.target, "task")))) {
      stored.push_back(std::move(one));
    }
    return JsonResponse(std::move(stored));
  }
  if (request.method == "POST" && path == "/api/predictions/") {
    json::object prediction = json::parse(request.body).as_object();
    const std::lock_guard lock(mutex_);
    predictions_.push_back(prediction);
    return JsonResponse(prediction, 201);
  }
  return JsonResponse({{"detail", "Not found."}}, 404);
}

}  // namespace gateway::testing
