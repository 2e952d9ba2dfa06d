#include "gateway/label_studio/task.h"

#include <absl/status/status.h>
#include <absl/strings/numbers.h>

#include <boost/json/array.hpp>
#include <boost/json/kind.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/stream_parser.hpp>
#include <optional>
#include <utility>

#include "gateway/text.h"

namespace gateway::label_studio {
namespace {

namespace json = boost::json;

// It is kept by whoever remembers something about a project.
constexpr std::size_t kMaxProjectId = 64;

std::string_view KindName(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return "a number";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "a list";
    case json::kind::object:
      return "an object";
  }
  return "unknown";
}

absl::Status WrongKind(std::string_view field, const json::value& found, std::string_view needed) {
  return absl::InvalidArgumentError(
      StrCat("'", field, "' is ", KindName(found), "; needed: ", needed));
}

absl::StatusOr<json::value> ParseObject(std::string_view body, const RequestLimits& limits) {
  json::parse_options options;
  options.max_depth = static_cast<std::size_t>(limits.max_depth);
  json::error_code error;
  json::stream_parser parser({}, options);
  const std::size_t read = parser.write(body.data(), body.size(), error);
  if (!error) parser.finish(error);
  if (error) {
    return absl::InvalidArgumentError(StrCat("the body is not JSON: ", error.message(),
                                             " near byte ", error ? read : body.size()));
  }
  json::value value = parser.release();
  if (!value.is_object()) {
    return absl::InvalidArgumentError(
        StrCat("the body is ", KindName(value), "; needed: an object"));
  }
  return value;
}

// Null if the field is absent or null.
json::value* Find(json::object& object, std::string_view field) {
  json::value* value = object.if_contains(field);
  return value == nullptr || value->is_null() ? nullptr : value;
}

// "" if absent.
absl::StatusOr<std::string> Text(json::object& object, std::string_view field) {
  json::value* value = Find(object, field);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return WrongKind(field, *value, "a string");
  return std::string(value->get_string());
}

std::optional<std::int64_t> Integer(const json::value& value) {
  if (const auto* number = value.if_int64()) return *number;
  std::int64_t number = 0;
  if (const auto* text = value.if_string();
      text != nullptr && absl::SimpleAtoi(View(std::string_view(*text)), &number)) {
    return number;
  }
  return std::nullopt;
}

// "1" of "1.1795395253" (Label Studio's form: id, dot, time of creation), of "1" or of 1; "" if
// absent.
absl::StatusOr<std::string> ProjectId(json::object& object, std::string_view field = "project") {
  json::value* value = Find(object, field);
  if (value == nullptr) return std::string();
  if (const auto* number = value->if_int64()) return StrCat(*number);
  if (const auto* text = value->if_string()) {
    const std::string_view whole = *text;
    const std::string_view id = whole.substr(0, whole.find('.'));
    if (id.size() > kMaxProjectId) {
      return absl::InvalidArgumentError(StrCat(
          "'", field, "' has ", id.size(), " characters before its dot; at most ", kMaxProjectId));
    }
    return std::string(id);
  }
  return WrongKind(field, *value, "a string like \"1.1795395253\"");
}

absl::StatusOr<Task> ParseTask(json::value& value, std::size_t index) {
  const std::string name = StrCat("tasks[", index, "]");
  auto* object = value.if_object();
  if (object == nullptr) return WrongKind(name, value, "an object with `id` and `data`");
  Task task;
  if (json::value* id = Find(*object, "id")) {
    const std::optional<std::int64_t> number = Integer(*id);
    if (!number) return WrongKind(StrCat(name, ".id"), *id, "an integer");
    task.id = *number;
  }
  json::value* data = Find(*object, "data");
  if (data == nullptr) {
    return absl::InvalidArgumentError(StrCat("'", name, ".data' is missing"));
  }
  if (!data->is_object()) return WrongKind(StrCat(name, ".data"), *data, "an object");
  task.data = std::move(data->get_object());
  return task;
}

void AddId(const json::value& value, std::vector<std::int64_t>* ids) {
  const auto* object = value.if_object();
  const json::value* id = object == nullptr ? nullptr : object->if_contains("id");
  if (id == nullptr) return;
  if (const std::optional<std::int64_t> number = Integer(*id)) ids->push_back(*number);
}

// Of a field that holds one object (`task`) or several (`tasks`).
void AddIds(json::object& object, std::string_view one, std::string_view several,
            std::vector<std::int64_t>* ids) {
  if (json::value* value = Find(object, one)) AddId(*value, ids);
  json::value* value = Find(object, several);
  if (value == nullptr || !value->is_array()) return;
  for (const json::value& element : value->get_array()) AddId(element, ids);
}

}  // namespace

absl::StatusOr<PredictRequest> ParsePredictRequest(std::string_view body,
                                                   const RequestLimits& limits) {
  absl::StatusOr<json::value> document = ParseObject(body, limits);
  if (!document.ok()) return document.status();
  json::object& root = document->get_object();

  PredictRequest request;
  json::value* tasks = Find(root, "tasks");
  if (tasks == nullptr) return absl::InvalidArgumentError("'tasks' is missing");
  if (!tasks->is_array()) return WrongKind("tasks", *tasks, "a list of tasks");
  json::array& list = tasks->get_array();
  if (list.empty()) return absl::InvalidArgumentError("'tasks' is empty; needed: at least one");
  if (list.size() > limits.max_tasks) {
    return absl::InvalidArgumentError(
        StrCat("'tasks' has ", list.size(), " entries; at most ", limits.max_tasks));
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
  absl::StatusOr<std::string> label_config = Text(root, "label_config");
  if (!label_config.ok()) return label_config.status();
  request.label_config = *std::move(label_config);

  if (json::value* params = Find(root, "params")) {
    if (!params->is_object()) return WrongKind("params", *params, "an object");
    if (json::value* context = Find(params->get_object(), "context")) {
      if (!context->is_object()) return WrongKind("params.context", *context, "an object or null");
      request.context = std::move(*context);
      if (request.tasks.size() != 1) {
        return absl::InvalidArgumentError(StrCat("'params.context' is given for ",
                                                 request.tasks.size(),
                                                 " tasks; an interactive request has one"));
      }
    }
  }
  return request;
}

absl::StatusOr<SetupRequest> ParseSetupRequest(std::string_view body, const RequestLimits& limits) {
  absl::StatusOr<json::value> document = ParseObject(body, limits);
  if (!document.ok()) return document.status();
  json::object& root = document->get_object();

  SetupRequest request;
  absl::StatusOr<std::string> project = ProjectId(root);
  if (!project.ok()) return project.status();
  request.project_id = *std::move(project);
  for (const auto& [field, target] :
       {std::pair{"schema", &request.label_config}, std::pair{"hostname", &request.hostname},
        std::pair{"access_token", &request.access_token}}) {
    absl::StatusOr<std::string> text = Text(root, field);
    if (!text.ok()) return text.status();
    *target = *std::move(text);
  }

  json::value* extra = Find(root, "extra_params");
  if (extra == nullptr) return request;
  if (const auto* text = extra->if_string()) {
    if (text->empty()) return request;
    json::parse_options options;
    options.max_depth = static_cast<std::size_t>(limits.max_depth);
    json::error_code error;
    json::value inner = json::parse(*text, error, {}, options);
    if (error) {
      return absl::InvalidArgumentError(StrCat("'extra_params' is a string that is not JSON (",
                                               error.message(), "); needed: an object"));
    }
    *extra = std::move(inner);
  }
  if (!extra->is_object()) return WrongKind("extra_params", *extra, "an object");
  request.extra_params = std::move(extra->get_object());
  return request;
}

absl::StatusOr<WebhookEvent> ParseWebhook(std::string_view body, const RequestLimits& limits) {
  absl::StatusOr<json::value> document = ParseObject(body, limits);
  if (!document.ok()) return document.status();
  json::object& root = document->get_object();

  WebhookEvent event;
  absl::StatusOr<std::string> action = Text(root, "action");
  if (!action.ok()) return action.status();
  if (action->empty()) return absl::InvalidArgumentError("'action' is missing");
  event.action = *std::move(action);
  if (json::value* project = Find(root, "project"); project != nullptr && project->is_object()) {
    json::object& object = project->get_object();
    if (json::value* id = Find(object, "id")) {
      if (const std::optional<std::int64_t> number = Integer(*id)) {
        event.project_id = StrCat(*number);
      }
    }
    if (absl::StatusOr<std::string> config = Text(object, "label_config"); config.ok()) {
      event.label_config = *std::move(config);
    }
  }
  AddIds(root, "task", "tasks", &event.task_ids);
  AddIds(root, "annotation", "annotations", &event.annotation_ids);
  return event;
}

absl::StatusOr<OlderRequest> ParseOlderRequest(std::string_view body, const RequestLimits& limits) {
  absl::StatusOr<json::value> document = ParseObject(body, limits);
  if (!document.ok()) return document.status();
  json::object& root = document->get_object();

  OlderRequest request;
  // /train may come with the whole project, as webhooks do.
  if (json::value* project = Find(root, "project"); project != nullptr && project->is_object()) {
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
  for (const auto& [field, target] :
       {std::pair{"config", &request.label_config}, std::pair{"job", &request.job}}) {
    absl::StatusOr<std::string> text = Text(root, field);
    if (!text.ok()) return text.status();
    *target = *std::move(text);
  }
  if (json::value* annotations = Find(root, "annotations");
      annotations != nullptr && annotations->is_array()) {
    request.annotations = annotations->get_array().size();
  }
  return request;
}

}  // namespace gateway::label_studio
