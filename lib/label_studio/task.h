// The bodies of Label Studio's POST requests, checked and typed.
//
// Every parser returns InvalidArgument with one sentence that names the field or the task if the
// body isn't JSON, has the wrong shape or exceeds a limit, ResourceExhausted if there is no memory
// for it. Unknown fields are ignored and take no memory; of a task only `id` and `data` are relied
// on.
#ifndef DUET_LABEL_STUDIO_TASK_H_
#define DUET_LABEL_STUDIO_TASK_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <boost/json/storage_ptr.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace label_studio {

struct RequestLimits {
  std::size_t max_tasks = 100'000;
  int max_depth = 64;  // nesting of the JSON
  // For the values that are kept. May throw std::bad_alloc.
  boost::json::storage_ptr memory = {};
};

struct Task {
  std::int64_t id = 0;  // 0: none was given
  boost::json::object data;
};
// Detached: a copy in the default memory, which may outlive the request. MemoryOf: the bytes that a
// task takes, about.
Task Detached(const Task& task);
std::size_t MemoryOf(const Task& task);

// Label Studio's `created_at`, "2026-11-30T09:13:14.816Z", in whole seconds since 1970; 0 if it is
// none. The same number stands behind a project's id in requests.
std::int64_t SecondsOf(std::string_view created_at);

// POST /predict.
struct PredictRequest {
  std::vector<Task> tasks;           // at least one
  std::string project_id;            // "1" of "1.1795395253"; "" if absent
  std::int64_t project_created = 0;  // 1795395253, seconds since 1970; 0 if absent
  std::string label_config;          // XML; "" if absent
  boost::json::value context;        // of `params`; null for batches and opened tasks

  // True: somebody has drawn a prompt with a smart tool and waits. There is exactly one task then.
  bool interactive() const { return !context.is_null(); }
};
absl::StatusOr<PredictRequest> ParsePredictRequest(std::string_view body,
                                                   const RequestLimits& limits = {});

// POST /setup.
struct SetupRequest {
  std::string project_id;
  std::int64_t project_created = 0;  // as PredictRequest's
  std::string label_config;          // `schema`; "" if absent
  std::string hostname;              // Label Studio's own idea of its URL
  std::string access_token;          // legacy token, often refused
  // Given as an object or as a string that holds one; empty if null. InvalidArgument if it is
  // something else, which the project's operator is told of.
  absl::StatusOr<boost::json::object> extra_params = boost::json::object();
};
absl::StatusOr<SetupRequest> ParseSetupRequest(std::string_view body,
                                               const RequestLimits& limits = {});

// POST /webhook. `action` is what Label Studio calls it, e.g. "ANNOTATION_CREATED"; unknown ones
// are legal.
struct WebhookEvent {
  std::string action;
  std::string project_id;              // "" if absent
  std::int64_t project_created = 0;    // by the project's `created_at`
  std::vector<std::int64_t> task_ids;  // of `task`, or the first thousand of `tasks`
};
absl::StatusOr<WebhookEvent> ParseWebhook(std::string_view body, const RequestLimits& limits = {});

// What Label Studio before 1.5 POSTs besides: /train, /job_status, /validate, /versions, /delete,
// /duplicate_model. Each has a few of these fields; "" if absent.
struct OlderRequest {
  std::string project_id;  // `project` or `project_src`, without the time of creation
  std::int64_t project_created = 0;
  std::string destination_id;  // `project_dst`
  std::string label_config;    // `config`
  std::string job;
  std::optional<bool> has_annotations;  // nothing if the field isn't a list
};
absl::StatusOr<OlderRequest> ParseOlderRequest(std::string_view body,
                                               const RequestLimits& limits = {});

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_TASK_H_
