#include "tests/integration/gateway/fake_label_studio.h"

#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <gtest/gtest.h>

#include <algorithm>
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

namespace {

bool Contains(const json::array& values, std::int64_t number) {
  return std::find(values.begin(), values.end(), json::value(number)) != values.end();
}

}  // namespace

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

void FakeLabelStudio::DeleteTask(std::int64_t id) {
  const std::lock_guard lock(mutex_);
  tasks_.erase(id);
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

std::size_t FakeLabelStudio::TaskCount() const {
  const std::lock_guard lock(mutex_);
  return tasks_.size();
}

// GET /api/tasks: the data manager's list with its filters and ordering.
json::value FakeLabelStudio::List(const std::string& target) {
  EXPECT_EQ(Parameter(target, "resolve_uri"), "false") << "image strings must come as imported";
  const json::value query = json::parse(Parameter(target, "query"));
  std::size_t page_size = std::stoul(Parameter(target, "page_size"));
  if (page_size == 1) ++counts_;
  if (max_page > 0) page_size = std::min<std::size_t>(page_size, max_page);
  const std::lock_guard lock(mutex_);
  const auto passes = [&](std::int64_t id, const Task& task) {
    for (const json::value& filter : query.at("filters").at("items").as_array()) {
      const std::string column(filter.at("filter").as_string());
      const bool greater = filter.at("operator") == "greater";
      const json::value& value = filter.at("value");
      if (column == "filter:tasks:id") {
        if (greater ? id <= value.as_int64() : !Contains(value.as_array(), id)) return false;
      }
      if (column == "filter:tasks:predictions_model_versions" &&
          std::none_of(predictions_.begin(), predictions_.end(), [&](const json::object& one) {
            return one.at("task") == id && one.at("model_version") == value.at(0);
          })) {
        return false;
      }
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
  json::array tasks;
  std::size_t total = 0;
  for (const auto& [id, task] : tasks_) {
    if (!passes(id, task)) continue;
    ++total;
    if (tasks.size() == page_size) continue;
    tasks.push_back({{"id", id}, {"data", {{"image", task.image}}}});
  }
  if (lists_until_stored_ > 0 && --lists_until_stored_ == 0) {
    predictions_.insert(predictions_.end(), late_.begin(), late_.end());
    late_.clear();
  }
  return {{"total", total}, {"tasks", std::move(tasks)}};
}

// POST /api/projects/1/import/predictions: all or none of them.
TinyResponse FakeLabelStudio::Import(const std::string& body) {
  ++imports_;
  const std::lock_guard lock(mutex_);
  std::vector<json::object> stored;
  const json::value predictions = json::parse(body);
  for (const json::value& prediction : predictions.as_array()) {
    const std::int64_t task = prediction.at("task").as_int64();
    if (!tasks_.contains(task) || task == import_refuses) {
      return JsonResponse({{"detail", "task ID " + std::to_string(task) + " is invalid"}}, 400);
    }
    if (task != import_drops) stored.push_back(prediction.as_object());
  }
  lists_until_stored_ = import_late.exchange(0);
  auto& to = lists_until_stored_ > 0 ? late_ : predictions_;
  to.insert(to.end(), stored.begin(), stored.end());
  if (lists_until_stored_ > 0) return JsonResponse({{"detail", "the proxy gave up"}}, 504);
  return JsonResponse({{"created", stored.size()}}, 201);
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
                         {"task_number", TaskCount()},
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
  if (request.method == "POST" && path == "/api/projects/1/import/predictions") {
    return Import(request.body);
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
