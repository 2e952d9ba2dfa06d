// Trainings: what Label Studio and people may ask for, and what versions of Label Studio before 1.5
// ask about them. Without --trainer nothing is trained, and the answers say so where a user or a
// script may see it. Who may begin and end one says training_door.h.
#include <boost/json/object.hpp>
#include <string>
#include <utility>

#include "gateway/endpoints/body.h"
#include "gateway/endpoints/routes.h"
#include "label_studio/task.h"
#include "text/str_cat.h"
#include "text/url.h"
#include "text/utf8.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
namespace trainer = duet::trainer::v1;
using boost::asio::awaitable;
using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;

// "POST /train from loopback"
jobs::Trainings::Asker AskerOf(Application& app, const Context& context) {
  return {
      .who = text::StrCat(context.route == "/webhook" ? "START_TRAINING" : "POST " + context.route,
                          " from ", app.training_door.NameOf(context)),
      .request_id = context.request.request_id()};
}

// What was asked too early may be asked again, but not by waiting for a service.
Response ErrorOf(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status)) return http::ErrorResponse(status);
  return http::ErrorResponse(429, std::string(status.message()));
}

// label-studio-ml without a job queue answers 201 without a job, too.
awaitable<Response> Train(Application& app, Request& request, Context& context) {
  const bool segmenter = request.query == "kind=segmenter";
  auto parsing = ParseBody(app.pool, request, label_studio::ParseOlderRequest);
  const auto parsed = co_await std::move(parsing);
  if (!parsed.ok()) co_return http::ErrorResponse(parsed.status());
  if (parsed->has_annotations == false) {
    co_return http::ErrorResponse(400, "No annotations found.");
  }
  if (!app.trainings.enabled()) {
    context.request.NoteStr("training", "not started");
    co_return http::JsonResponse(NotTrained(), 201);
  }
  if (!request.query.empty() && !segmenter && request.query != "kind=detector") {
    co_return http::ErrorResponse(
        400,
        "The query names what is trained: kind=detector, which it is without, or "
        "kind=segmenter.");
  }
  auto starting = StartTraining(
      app, {.id = parsed->project_id, .created = parsed->project_created},
      segmenter ? trainer::MODEL_KIND_SEGMENTER : trainer::MODEL_KIND_DETECTOR, context);
  auto job = co_await std::move(starting);
  if (!job.ok()) co_return ErrorOf(job.status());
  co_return http::JsonResponse(*std::move(job), 201);
}

// The project of "/train/7" and "/train/7/cancel".
std::string ProjectIn(const Request& request, std::string_view action = "") {
  std::string_view path = text::WithoutTrailingSlashes(request.path);
  if (!action.empty()) path.remove_suffix(action.size() + 1);
  return std::string(path.substr(path.rfind('/') + 1));
}

Response NoTrainer() {
  return http::ErrorResponse(404, "Nothing is trained here: the gateway has no --trainer.");
}

Response NoProject() {
  return http::ErrorResponse(404, "There is no such project; needed: its number.");
}

// Answers with what `ask(project)` tells.
template <typename Ask>
awaitable<Response> OfProject(Application& app, std::string project, Context& context, Ask ask) {
  if (!app.trainings.enabled()) co_return NoTrainer();
  NoteProject(project, context.request);
  if (!label_studio_api::IsProjectId(project)) co_return NoProject();
  auto asking = ask(std::move(project));
  auto answer = co_await std::move(asking);
  if (!answer.ok()) co_return ErrorOf(answer.status());
  co_return http::JsonResponse(*std::move(answer));
}

awaitable<Response> Progress(Application& app, Request& request, Context& context) {
  return OfProject(app, ProjectIn(request), context,
                   [&app](std::string project) { return app.trainings.Describe(project); });
}

awaitable<Response> Cancel(Application& app, Request& request, Context& context) {
  return OfProject(app, ProjectIn(request, "cancel"), context,
                   [&app, asker = AskerOf(app, context)](std::string project) {
                     return app.trainings.Cancel(project, asker);
                   });
}

awaitable<Response> Forget(Application& app, Request& request, Context& context) {
  return OfProject(app, ProjectIn(request, "forget"), context,
                   [&app, asker = AskerOf(app, context)](std::string project) {
                     return app.trainings.Forget(project, asker);
                   });
}

Response IsTraining(Application& app, const Request&, Context& context) {
  const prelabel::Profile& profile = app.ProfileOf(context);
  const auto version = prelabel::ModelVersion(profile, profile.settings);
  return http::JsonResponse(
      json::object{{"is_training", app.trainings.enabled() && app.trainings.IsActive()},
                   {"backend", app.trainings.enabled() ? "duet-trainer" : "none"},
                   {"model_version", version ? json::value(*version) : json::value(nullptr)}});
}

// What Label Studio takes for "removed", and stops asking.
constexpr int kGone = 410;

awaitable<Response> JobStatus(Application& app, Request& request, Context&) {
  const auto parsed = label_studio::ParseOlderRequest(request.body);
  if (!parsed.ok()) co_return http::ErrorResponse(parsed.status());
  const std::string id(text::Utf8Prefix(parsed->job, 100));
  if (!app.trainings.enabled()) {
    co_return http::ErrorResponse(kGone, text::StrCat("There is no training job \"", id,
                                                      "\": Duet does not train on request."));
  }
  auto job = app.trainings.Find(parsed->job);
  if (!job) {
    co_return http::ErrorResponse(kGone, text::StrCat("There is no training job \"", id, "\"."));
  }
  co_return http::JsonResponse(*std::move(job));
}

}  // namespace

json::object NotTrained() {
  return {{"job", nullptr},
          {"status", "not trained"},
          {"detail", "Duet does not train on request. It goes on with the models that it loaded."}};
}

awaitable<absl::StatusOr<json::object>> StartTraining(Application& app, NamedProject project,
                                                      trainer::ModelKind kind, Context& context) {
  NoteProject(project.id, context.request);
  if (!label_studio_api::IsProjectId(project.id)) {
    co_return absl::InvalidArgumentError(
        "the request names no project; needed: its number, {\"project\": \"7\"}");
  }
  const std::string key = Application::ProjectKey(app.ProfileOf(context), project.id);
  if (auto setup = app.memory.Find(key)) project.setup = std::move(setup->label_studio);
  const std::string id = project.id;
  auto asking = app.own_projects.Has(std::move(project));
  if (!co_await std::move(asking)) {
    co_return absl::FailedPreconditionError(text::StrCat(
        "project ", id, " is no project of --label_studio_url=", app.options.label_studio.url,
        ", from where trainings take annotations"));
  }
  auto starting = app.trainings.Start(id, kind, AskerOf(app, context));
  auto job = co_await std::move(starting);
  context.request.NoteStr("training", job.ok() ? "started" : "not started");
  if (!job.ok()) co_return job.status();
  // "status" as before there was a trainer.
  (*job)["status"] = (*job)["state"];
  co_return job;
}

void AddTraining(Application& app, http::Router& router) {
  router.Add(verb::post, "/train", WithApplication(app, Train));
  router.Add(verb::get, "/train/{project}", WithApplication(app, Progress));
  router.Add(verb::post, "/train/{project}/cancel", WithApplication(app, Cancel));
  router.Add(verb::post, "/train/{project}/forget", WithApplication(app, Forget));
  router.AddQuick(verb::get, "/is_training", WithApplication(app, IsTraining));
  router.Add(verb::post, "/job_status", WithApplication(app, JobStatus));
}

}  // namespace gateway::endpoints
