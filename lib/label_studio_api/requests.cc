#include "label_studio_api/requests.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <utility>

#include "label_studio/json_fields.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace label_studio_api {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxQuoted = 200;

absl::Status NotA(std::string_view what) {
  return absl::InvalidArgumentError(text::StrCat("Label Studio's answer is not ", what));
}

json::value ParseOrNull(std::string_view body) {
  json::error_code error;
  json::value value = json::parse({body.data(), body.size()}, error);
  return error ? json::value(nullptr) : value;
}

// The list of an answer that is one, or that has it in `field`.
const json::array* List(const json::value& answer, std::string_view field) {
  if (const json::array* list = answer.if_array()) return list;
  const json::object* object = answer.if_object();
  const json::value* list = object == nullptr ? nullptr : object->if_contains(field);
  return list == nullptr ? nullptr : list->if_array();
}

// A condition of the data manager.
json::object Filter(std::string_view column, std::string_view comparison, std::string_view type,
                    json::value value) {
  return {{"filter", text::StrCat("filter:tasks:", column)},
          {"operator", comparison},
          {"type", type},
          {"value", std::move(value)}};
}

// `fields`: "task_only", or "all" with what is annotated of them.
std::string TasksPath(std::string_view project_id, json::array filters, std::string_view order,
                      int count, std::string_view fields = "task_only") {
  const json::object query = {{"filters", {{"conjunction", "and"}, {"items", std::move(filters)}}},
                              {"ordering", json::array{order}}};
  return text::StrCat("/api/tasks?project=", project_id, "&page=1&page_size=", count,
                      "&fields=", fields,
                      "&resolve_uri=false&query=", text::PercentEncode(json::serialize(query), ""));
}

}  // namespace

bool IsProjectId(std::string_view id) {
  return !id.empty() && id.size() <= 18 && id.front() != '0' &&
         std::all_of(id.begin(), id.end(),
                     [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); });
}

std::optional<std::uint64_t> ProjectNumber(std::string_view id) {
  std::uint64_t number = 0;
  if (!IsProjectId(id)) return std::nullopt;
  std::from_chars(id.data(), id.data() + id.size(), number);  // 18 digits fit
  return number;
}

std::string ProjectPath(std::string_view project_id) {
  return text::StrCat("/api/projects/", project_id, "/");
}

absl::StatusOr<ProjectInfo> ParseProject(std::string_view body) {
  const json::value answer = ParseOrNull(body);
  const json::object* object = answer.if_object();
  if (object == nullptr || label_studio::TextField(*object, "label_config").empty()) {
    return NotA("a project with a 'label_config'");
  }
  ProjectInfo info;
  info.label_config = std::string(label_studio::TextField(*object, "label_config"));
  const std::string_view sampling = label_studio::TextField(*object, "sampling");
  info.created = label_studio::SecondsOf(label_studio::TextField(*object, "created_at"));
  if (const json::value* const tasks = object->if_contains("task_number");
      tasks != nullptr && tasks->is_int64()) {
    info.tasks = std::max<std::int64_t>(0, tasks->get_int64());
  }
  if (sampling.starts_with("Uniform")) info.sampling = Sampling::kUniform;
  if (sampling.starts_with("Uncertainty")) info.sampling = Sampling::kUncertainty;
  return info;
}

std::string UnlabelledTasksPath(std::string_view project_id, Sampling sampling, std::int64_t after,
                                int count) {
  json::array filters;
  // "Completed" is what the label stream leaves out: as many annotations as the overlap asks for.
  filters.push_back(Filter("completed_at", "empty", "Datetime", "true"));
  if (after > 0) filters.push_back(Filter("id", "greater", "Number", after));
  return TasksPath(project_id, std::move(filters),
                   sampling == Sampling::kUncertainty ? "tasks:predictions_score" : "tasks:id",
                   count);
}

std::string TasksByIdPath(std::string_view project_id, WhichTasks which, std::int64_t after,
                          int count) {
  json::array filters;
  if (which == WhichTasks::kWithoutAnnotations) {
    filters.push_back(Filter("total_annotations", "equal", "Number", 0));
  }
  if (after > 0) filters.push_back(Filter("id", "greater", "Number", after));
  return TasksPath(project_id, std::move(filters), "tasks:id", count);
}

std::string ViewTasksPath(std::string_view project_id, std::int64_t view, int page, int count) {
  return text::StrCat("/api/tasks?project=", project_id, "&view=", view, "&page=", page,
                      "&page_size=", count, "&fields=task_only&resolve_uri=false");
}

std::string PredictedTasksPath(std::string_view project_id, const std::vector<std::int64_t>& tasks,
                               std::string_view model_version) {
  json::array filters = {
      Filter("id", "in_list", "Number", json::array(tasks.begin(), tasks.end())),
      Filter("predictions_model_versions", "contains", "List", json::array{model_version})};
  return TasksPath(project_id, std::move(filters), "tasks:id", static_cast<int>(tasks.size()));
}

std::string ImportPredictionsPath(std::string_view project_id) {
  return text::StrCat("/api/projects/", project_id, "/import/predictions");
}

std::int64_t ParseCreated(std::string_view body) {
  const json::value answer = ParseOrNull(body);
  const json::object* object = answer.if_object();
  const json::value* created = object == nullptr ? nullptr : object->if_contains("created");
  return created != nullptr && created->is_int64() ? created->get_int64() : 0;
}

std::string AnnotatedSincePath(std::string_view project_id, absl::Time since) {
  json::array filters = {Filter("total_annotations", "greater", "Number", 0)};
  if (since != absl::InfinitePast()) {
    filters.push_back(
        Filter("completed_at", "greater", "Datetime",
               json::value(absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", since, absl::UTCTimeZone()))));
  }
  return TasksPath(project_id, std::move(filters), "tasks:id", 1);
}

absl::StatusOr<std::int64_t> ParseTotal(std::string_view body) {
  const json::value answer = ParseOrNull(body);
  const json::object* object = answer.if_object();
  const json::value* total = object == nullptr ? nullptr : object->if_contains("total");
  if (total == nullptr || !total->is_int64()) return NotA("a list of tasks with its 'total'");
  return total->get_int64();
}

std::string BackendsPath(std::string_view project_id) {
  return text::StrCat("/api/ml?project=", project_id);
}

absl::StatusOr<std::vector<std::string>> ParseBackends(std::string_view body) {
  const json::value answer = ParseOrNull(body);
  const json::array* list = List(answer, "results");
  if (list == nullptr) return NotA("a list of ML backends");
  std::vector<std::string> urls;
  for (const json::value& element : *list) {
    const json::object* backend = element.if_object();
    if (backend == nullptr) return NotA("a list of ML backends with their 'url'");
    urls.emplace_back(label_studio::TextField(*backend, "url"));
  }
  return urls;
}

absl::StatusOr<std::vector<label_studio::Task>> ParseTasks(std::string_view body) {
  const json::value answer = ParseOrNull(body);
  const json::array* list = List(answer, "tasks");
  if (list == nullptr) return NotA("a list of tasks");
  std::vector<label_studio::Task> tasks;
  for (const json::value& element : *list) {
    const json::object* object = element.if_object();
    const json::value* id = object == nullptr ? nullptr : object->if_contains("id");
    const json::value* data = object == nullptr ? nullptr : object->if_contains("data");
    if (id == nullptr || !id->is_int64() || data == nullptr || !data->is_object()) {
      return NotA("a list of tasks with 'id' and 'data'");
    }
    tasks.push_back({.id = id->get_int64(), .data = data->get_object()});
  }
  return tasks;
}

std::string AnnotatedTasksPath(std::string_view project_id, std::int64_t after, int count) {
  // What was cancelled or skipped isn't counted by Label Studio.
  json::array filters = {Filter("total_annotations", "greater", "Number", 0),
                         Filter("id", "greater", "Number", after)};
  return TasksPath(project_id, std::move(filters), "tasks:id", count, "all");
}

absl::StatusOr<AnnotatedTasks> ParseAnnotatedTasks(std::string_view body) {
  json::value answer = ParseOrNull(body);
  const json::array* list = List(answer, "tasks");
  if (list == nullptr) return NotA("a list of tasks");
  AnnotatedTasks page;
  for (const json::value& element : *list) {
    const json::object* object = element.if_object();
    const json::value* id = object == nullptr ? nullptr : object->if_contains("id");
    const json::value* annotations =
        object == nullptr ? nullptr : object->if_contains("annotations");
    if (id == nullptr || !id->is_int64() || annotations == nullptr || !annotations->is_array()) {
      return NotA("a list of tasks with 'id' and 'annotations'");
    }
    json::object task = *object;
    task.erase("predictions");
    task.erase("drafts");
    page.tasks.push_back(json::serialize(task));
    page.last_id = std::max(page.last_id, id->get_int64());
  }
  return page;
}

std::string PredictionBody(std::int64_t task_id, std::string_view prediction) {
  return text::StrCat("{\"task\":", task_id, ",", prediction.substr(1));
}

std::string StoredPredictionsPath(std::int64_t task_id) {
  return text::StrCat(kPredictionsPath, "?task=", task_id);
}

absl::StatusOr<bool> HasPrediction(std::string_view body, std::string_view model_version) {
  const json::value answer = ParseOrNull(body);
  const json::array* list = List(answer, "results");
  if (list == nullptr) return NotA("a list of predictions");
  return std::any_of(list->begin(), list->end(), [&](const json::value& element) {
    const json::object* prediction = element.if_object();
    return prediction != nullptr &&
           label_studio::TextField(*prediction, "model_version") == model_version;
  });
}

absl::Status ErrorOf(int http_status, std::string_view path, std::string_view body) {
  const std::string_view where = path.substr(0, path.find('?'));
  const std::string said =
      absl::CHexEscape(text::View(body.substr(0, std::min(body.size(), kMaxQuoted))));
  const std::string sentence = text::StrCat("Label Studio answered ", http_status, " to ", where,
                                            said.empty() ? "" : ": ", said);
  switch (http_status) {
    case 401:
      return absl::UnauthenticatedError(
          text::StrCat(sentence, "; needed: a valid --label_studio_api_key"));
    case 403:
      return absl::PermissionDeniedError(sentence);
    case 404:
      return absl::NotFoundError(sentence);
    case 408:
    case 425:
    case 429:
      return absl::UnavailableError(sentence);
    default:
      return http_status >= 500 ? absl::UnavailableError(sentence)
                                : absl::InvalidArgumentError(sentence);
  }
}

}  // namespace label_studio_api
