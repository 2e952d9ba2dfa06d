#include "label_studio/task.h"

#include <absl/status/status.h>
#include <absl/strings/numbers.h>
#include <absl/time/time.h>

#include <boost/json/array.hpp>
#include <optional>
#include <span>
#include <utility>

#include "label_studio/json_fields.h"
#include "label_studio/json_parts.h"
#include "label_studio/label_config.h"
#include "text/str_cat.h"

namespace label_studio {
namespace {

namespace json = boost::json;

// Bounds the keys of everything that is remembered about projects.
constexpr std::size_t kMaxProjectId = 64;

absl::Status WrongKind(std::string_view field, const json::value& found, std::string_view needed) {
  return absl::InvalidArgumentError(
      text::StrCat("'", field, "' is ", KindName(found), "; needed: ", needed));
}

// Of a name, address or token.
constexpr std::size_t kMaxText = 8 << 10;
// Of the tasks of one event.
constexpr std::size_t kMaxEventTasks = 1000;

constexpr JsonPart Whole(std::string_view name) { return {.name = name, .whole = true}; }
constexpr JsonPart kId[] = {Whole("id")};
constexpr JsonPart kProject[] = {Whole("id"), Whole("created_at")};
constexpr JsonPart kEventTask[] = {{.inside = kId}};

absl::StatusOr<json::object> ParseObject(std::string_view body, std::span<const JsonPart> fields,
                                         const RequestLimits& limits) {
  return ParseJsonObject(body, fields, limits.max_depth, limits.memory);
}

// Null if the field is absent or null.
json::value* Find(json::object& object, std::string_view field) {
  json::value* value = object.if_contains(field);
  return value == nullptr || value->is_null() ? nullptr : value;
}

// "" if absent.
absl::StatusOr<std::string> Text(json::object& object, std::string_view field,
                                 std::size_t max_bytes) {
  json::value* value = Find(object, field);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return WrongKind(field, *value, "a string");
  const json::string& text = value->get_string();
  if (text.size() > max_bytes) {
    return absl::InvalidArgumentError(text::StrCat("'", field, "' has ", text.size(),
                                                   " bytes; at most ", max_bytes, " are read"));
  }
  return std::string(text);
}

absl::StatusOr<std::string> ConfigText(json::object& object, std::string_view field) {
  return Text(object, field, LabelConfigLimits().max_bytes);
}

std::optional<std::int64_t> Integer(const json::value& value) {
  if (const auto* number = value.if_int64()) return *number;
  std::int64_t number = 0;
  if (const auto* text = value.if_string();
      text != nullptr && absl::SimpleAtoi(text::View(std::string_view(*text)), &number)) {
    return number;
  }
  return std::nullopt;
}

// "1" of "1.1795395253" (Label Studio's form: id, dot, time of creation), of "1" or of 1; "" if
// absent.
absl::StatusOr<std::string> ProjectId(json::object& object, std::string_view field = "project") {
  json::value* value = Find(object, field);
  if (value == nullptr) return std::string();
  if (const auto* number = value->if_int64()) return text::StrCat(*number);
  if (const auto* text = value->if_string()) {
    const std::string_view whole = *text;
    const std::string_view id = whole.substr(0, whole.find('.'));
    if (id.size() > kMaxProjectId) {
      return absl::InvalidArgumentError(text::StrCat(
          "'", field, "' has ", id.size(), " characters before its dot; at most ", kMaxProjectId));
    }
    return std::string(id);
  }
  return WrongKind(field, *value, "a string like \"1.1795395253\"");
}

// 1795395253 of "1.1795395253"; 0 if there is no such number.
std::int64_t ProjectCreated(json::object& object) {
  const json::value* value = Find(object, "project");
  const json::string* text = value == nullptr ? nullptr : value->if_string();
  if (text == nullptr) return 0;
  const std::string_view whole = *text;
  const std::size_t dot = whole.find('.');
  std::int64_t seconds = 0;
  if (dot == whole.npos || !absl::SimpleAtoi(text::View(whole.substr(dot + 1)), &seconds)) return 0;
  return seconds;
}

// Of a whole project.
std::int64_t CreatedOf(const json::object& project) {
  return SecondsOf(TextField(project, "created_at"));
}

absl::StatusOr<Task> ParseTask(json::value& value, std::size_t index) {
  const std::string name = text::StrCat("tasks[", index, "]");
  auto* object = value.if_object();
  if (object == nullptr) return WrongKind(name, value, "an object with `id` and `data`");
  std::int64_t task_id = 0;
  if (json::value* id = Find(*object, "id")) {
    const std::optional<std::int64_t> number = Integer(*id);
    if (!number) return WrongKind(text::StrCat(name, ".id"), *id, "an integer");
    task_id = *number;
  }
  json::value* data = Find(*object, "data");
  if (data == nullptr) {
    return absl::InvalidArgumentError(text::StrCat("'", name, ".data' is missing"));
  }
  if (!data->is_object()) return WrongKind(text::StrCat(name, ".data"), *data, "an object");
  // Constructed, not assigned: an assignment would copy it into other memory.
  return Task{.id = task_id, .data = json::object(std::move(data->get_object()))};
}

void AddId(const json::value& value, std::vector<std::int64_t>* ids) {
  const auto* object = value.if_object();
  const json::value* id = object == nullptr ? nullptr : object->if_contains("id");
  if (id == nullptr) return;
  if (const std::optional<std::int64_t> number = Integer(*id)) ids->push_back(*number);
}

}  // namespace

std::int64_t SecondsOf(std::string_view created_at) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text::View(created_at), &time, &error)) return 0;
  return absl::ToUnixSeconds(time);
}

Task Detached(const Task& task) {
  return {.id = task.id, .data = json::object(task.data, json::storage_ptr())};
}

std::size_t MemoryOf(const Task& task) {
  std::size_t bytes = sizeof(Task);
  for (const auto& [key, value] : task.data) {
    bytes += sizeof(json::key_value_pair) + 2 * sizeof(std::uint32_t) + key.size() + 32 +
             MemoryOf(value);
  }
  return bytes;
}

absl::StatusOr<PredictRequest> ParsePredictRequest(std::string_view body,
                                                   const RequestLimits& limits) {
  static constexpr JsonPart kTask[] = {Whole("id"), Whole("data")};
  static constexpr JsonPart kTasks[] = {{.inside = kTask}};
  static constexpr JsonPart kParams[] = {Whole("context")};
  const JsonPart fields[] = {
      {.name = "tasks", .inside = kTasks, .max_elements = limits.max_tasks + 1},
      Whole("project"),
      Whole("label_config"),
      {.name = "params", .inside = kParams}};
  absl::StatusOr<json::object> document = ParseObject(body, fields, limits);
  if (!document.ok()) return document.status();
  json::object& root = *document;

  PredictRequest request;
  json::value* tasks = Find(root, "tasks");
  if (tasks == nullptr) return absl::InvalidArgumentError("'tasks' is missing");
  if (!tasks->is_array()) return WrongKind("tasks", *tasks, "a list of tasks");
  json::array& list = tasks->get_array();
  if (list.empty()) return absl::InvalidArgumentError("'tasks' is empty; needed: at least one");
  if (list.size() > limits.max_tasks) {
    return absl::InvalidArgumentError(text::StrCat("'tasks' has more than ", limits.max_tasks,
                                                   " entries; at most ", limits.max_tasks,
                                                   " are taken"));
  }
  request.tasks.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    absl::StatusOr<Task> task = ParseTask(list[i], i);
    if (!task.ok()) return task.status();
    request.tasks.push_back(*std::move(task));
  }

  absl::StatusOr<std::string> project = ProjectId(root);
  if (!project.ok()) return project.status();
  request.project_id = *std::move(project);
  request.project_created = ProjectCreated(root);
  absl::StatusOr<std::string> label_config = ConfigText(root, "label_config");
  if (!label_config.ok()) return label_config.status();
  request.label_config = *std::move(label_config);

  if (json::value* params = Find(root, "params")) {
    if (!params->is_object()) return WrongKind("params", *params, "an object");
    if (json::value* context = Find(params->get_object(), "context")) {
      if (!context->is_object()) return WrongKind("params.context", *context, "an object or null");
      if (request.tasks.size() != 1) {
        return absl::InvalidArgumentError(text::StrCat("'params.context' is given for ",
                                                       request.tasks.size(),
                                                       " tasks; an interactive request has one"));
      }
      // As with a task's data.
      return PredictRequest{.tasks = std::move(request.tasks),
                            .project_id = std::move(request.project_id),
                            .project_created = request.project_created,
                            .label_config = std::move(request.label_config),
                            .context = json::value(std::move(*context))};
    }
  }
  return request;
}

absl::StatusOr<SetupRequest> ParseSetupRequest(std::string_view body, const RequestLimits& limits) {
  static constexpr JsonPart kFields[] = {Whole("project"), Whole("schema"), Whole("hostname"),
                                         Whole("access_token"), Whole("extra_params")};
  absl::StatusOr<json::object> document = ParseObject(body, kFields, limits);
  if (!document.ok()) return document.status();
  json::object& root = *document;

  SetupRequest request;
  absl::StatusOr<std::string> project = ProjectId(root);
  if (!project.ok()) return project.status();
  request.project_id = *std::move(project);
  request.project_created = ProjectCreated(root);
  absl::StatusOr<std::string> schema = ConfigText(root, "schema");
  if (!schema.ok()) return schema.status();
  request.label_config = *std::move(schema);
  for (const auto& [field, target] : {std::pair{"hostname", &request.hostname},
                                      std::pair{"access_token", &request.access_token}}) {
    absl::StatusOr<std::string> text = Text(root, field, kMaxText);
    if (!text.ok()) return text.status();
    *target = *std::move(text);
  }

  json::value* extra = Find(root, "extra_params");
  if (extra == nullptr) return request;
  if (const auto* text = extra->if_string()) {
    if (text->empty()) return request;
    absl::StatusOr<json::value> inner = ParseJsonParts(*text, Whole(""), limits.max_depth,
                                                       limits.memory, "the text of 'extra_params'");
    if (absl::IsResourceExhausted(inner.status())) return inner.status();
    if (!inner.ok()) {
      request.extra_params = inner.status();
      return request;
    }
    *extra = *std::move(inner);
  }
  if (extra->is_object()) {
    request.extra_params.emplace(std::move(extra->get_object()));
  } else {
    request.extra_params = WrongKind("extra_params", *extra, "an object");
  }
  return request;
}

absl::StatusOr<WebhookEvent> ParseWebhook(std::string_view body, const RequestLimits& limits) {
  static constexpr JsonPart kFields[] = {
      Whole("action"),
      {.name = "project", .inside = kProject},
      {.name = "task", .inside = kId},
      {.name = "tasks", .inside = kEventTask, .max_elements = kMaxEventTasks}};
  absl::StatusOr<json::object> document = ParseObject(body, kFields, limits);
  if (!document.ok()) return document.status();
  json::object& root = *document;

  WebhookEvent event;
  absl::StatusOr<std::string> action = Text(root, "action", kMaxText);
  if (!action.ok()) return action.status();
  if (action->empty()) return absl::InvalidArgumentError("'action' is missing");
  event.action = *std::move(action);
  if (json::value* project = Find(root, "project"); project != nullptr && project->is_object()) {
    json::object& object = project->get_object();
    if (json::value* id = Find(object, "id")) {
      if (const std::optional<std::int64_t> number = Integer(*id)) {
        event.project_id = text::StrCat(*number);
      }
    }
    event.project_created = CreatedOf(object);
  }
  if (json::value* task = Find(root, "task")) AddId(*task, &event.task_ids);
  if (json::value* tasks = Find(root, "tasks"); tasks != nullptr && tasks->is_array()) {
    for (const json::value& task : tasks->get_array()) AddId(task, &event.task_ids);
  }
  return event;
}

absl::StatusOr<OlderRequest> ParseOlderRequest(std::string_view body, const RequestLimits& limits) {
  // /train may come with the whole project, as webhooks do.
  static constexpr JsonPart kFields[] = {{.name = "project", .inside = kProject},
                                         Whole("project_src"),
                                         Whole("project_dst"),
                                         Whole("config"),
                                         Whole("job"),
                                         {.name = "annotations"}};
  absl::StatusOr<json::object> document = ParseObject(body, kFields, limits);
  if (!document.ok()) return document.status();
  json::object& root = *document;

  OlderRequest request;
  request.project_created = ProjectCreated(root);
  if (json::value* project = Find(root, "project"); project != nullptr && project->is_object()) {
    request.project_created = CreatedOf(project->get_object());
    if (json::value* id = Find(project->get_object(), "id")) root["project"] = json::value(*id);
  }
  const bool copies = Find(root, "project_src") != nullptr;
  for (const auto& [field, target] :
       {std::pair{copies ? "project_src" : "project", &request.project_id},
        std::pair{"project_dst", &request.destination_id}}) {
    absl::StatusOr<std::string> id = ProjectId(root, field);
    if (!id.ok()) return id.status();
    *target = *std::move(id);
  }
  absl::StatusOr<std::string> config = ConfigText(root, "config");
  if (!config.ok()) return config.status();
  request.label_config = *std::move(config);
  absl::StatusOr<std::string> job = Text(root, "job", kMaxText);
  if (!job.ok()) return job.status();
  request.job = *std::move(job);
  if (json::value* annotations = Find(root, "annotations");
      annotations != nullptr && annotations->is_array()) {
    request.has_annotations = !annotations->get_array().empty();
  }
  return request;
}

}  // namespace label_studio
