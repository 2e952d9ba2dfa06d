// What the gateway asks of Label Studio's REST API, as pure functions: paths and bodies out,
// answers in. The transport is label_studio_api.h.
#ifndef DUET_LABEL_STUDIO_API_REQUESTS_H_
#define DUET_LABEL_STUDIO_API_REQUESTS_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "label_studio/task.h"

namespace label_studio_api {

// In which order the label stream hands out tasks (a project's "task sampling").
enum class Sampling {
  kSequential,   // by id
  kUniform,      // at random: nobody can be ahead of it
  kUncertainty,  // lowest prediction score first
};

struct ProjectInfo {
  std::string label_config;  // XML
  Sampling sampling = Sampling::kSequential;
  std::int64_t created = 0;  // label_studio::SecondsOf
  std::int64_t tasks = 0;    // how many it has; 0: it doesn't say
};

// GET /api/projects/ID/. REQUIRES of ids of projects here and below: decimal digits (IsProjectId),
// the first not 0.
bool IsProjectId(std::string_view id);
// The number; nothing for what is no such id.
std::optional<std::uint64_t> ProjectNumber(std::string_view id);
std::string ProjectPath(std::string_view project_id);
// InvalidArgument if the answer isn't a project.
absl::StatusOr<ProjectInfo> ParseProject(std::string_view body);

// GET of up to `count` tasks that aren't fully labelled, in label-stream order, image strings as
// imported. `after`: only tasks with a higher id; 0: from the beginning. The endpoint of the label
// stream itself (/api/projects/ID/next/) would lock the task that it answers for the token's user.
std::string UnlabelledTasksPath(std::string_view project_id, Sampling sampling, std::int64_t after,
                                int count);
absl::StatusOr<std::vector<label_studio::Task>> ParseTasks(std::string_view body);

// GET of up to `count` tasks that somebody annotated, by id, with all that is annotated of them and
// image strings as imported. `after`: only tasks with a higher id. One page after another, so that
// a project of any size is read in pieces, and a task that comes or goes meanwhile moves no other
// one.
std::string AnnotatedTasksPath(std::string_view project_id, std::int64_t after, int count);
struct AnnotatedTasks {
  // A JSON object each, as Label Studio exports tasks, without predictions and drafts.
  std::vector<std::string> tasks;
  std::int64_t last_id = 0;  // the highest of their ids
};
absl::StatusOr<AnnotatedTasks> ParseAnnotatedTasks(std::string_view body);

// GET of up to `count` tasks by id, as UnlabelledTasksPath's: all, or those without any annotation.
enum class WhichTasks { kAll, kWithoutAnnotations };
std::string TasksByIdPath(std::string_view project_id, WhichTasks which, std::int64_t after,
                          int count);
// GET of a page of up to `count` tasks that a view of the data manager shows, in its order; the
// first page is 1. A page behind the last one is NotFound.
std::string ViewTasksPath(std::string_view project_id, std::int64_t view, int page, int count);
// GET of those of these tasks that have a prediction of this version, by id.
std::string PredictedTasksPath(std::string_view project_id, const std::vector<std::int64_t>& tasks,
                               std::string_view model_version);

// POST of a list of predictions, each as PredictionBody makes it. Label Studio stores all of them
// or none, and whether or not a task has the same one already.
std::string ImportPredictionsPath(std::string_view project_id);
// How many the answer says were stored; 0 if it doesn't say.
std::int64_t ParseCreated(std::string_view body);

// GET that says how many tasks were annotated after `since`; in all for InfinitePast.
std::string AnnotatedSincePath(std::string_view project_id, absl::Time since);
absl::StatusOr<std::int64_t> ParseTotal(std::string_view body);

// GET of the project's ML backends; their addresses. Label Studio calls each backend's /setup
// before it answers.
std::string BackendsPath(std::string_view project_id);
absl::StatusOr<std::vector<std::string>> ParseBackends(std::string_view body);

// POST /api/predictions/ with one prediction ({"result": …, "score": …, "model_version": …}).
inline constexpr char kPredictionsPath[] = "/api/predictions/";
std::string PredictionBody(std::int64_t task_id, std::string_view prediction);

// GET of a task's stored predictions; and whether one of them has this version.
std::string StoredPredictionsPath(std::int64_t task_id);
absl::StatusOr<bool> HasPrediction(std::string_view body, std::string_view model_version);

// What an answer that is no success means: Unauthenticated (401), PermissionDenied (403), NotFound
// (404), Unavailable (408, 429, 5xx: worth another try), else InvalidArgument with the beginning of
// what Label Studio said.
absl::Status ErrorOf(int http_status, std::string_view path, std::string_view body);

}  // namespace label_studio_api

#endif  // DUET_LABEL_STUDIO_API_REQUESTS_H_
