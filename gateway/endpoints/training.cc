// Trainings: what Label Studio and people may ask for, and what versions of Label Studio before 1.5
// ask about them. Without --trainer nothing is trained, and the answers say so where a user or a
// script may see it. Who may begin and end one says training_door.h, who may see how it goes
// operator_door.h.
#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/endpoints/body.h"
#include "gateway/endpoints/operator_project.h"
#include "gateway/endpoints/routes.h"
#include "label_studio/task.h"
#include "model_store/names.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
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

// The kind that a query names: kind=detector or kind=segmenter. Nothing if there is no query;
// InvalidArgument for others.
absl::StatusOr<std::optional<model_store::Kind>> KindIn(const Request& request) {
  constexpr std::string_view kName = "kind=";
  const std::string_view query = request.query;
  if (query.empty()) return std::nullopt;
  const auto kind =
      query.starts_with(kName) ? model_store::ParseKind(query.substr(kName.size())) : std::nullopt;
  if (kind) return kind;
  return absl::InvalidArgumentError(
      "The query names which of a project's models is meant: kind=detector or kind=segmenter; "
      "without it both.");
}

jobs::TrainedModels ModelsOf(std::optional<model_store::Kind> kind) {
  if (!kind) return jobs::TrainedModels::kBoth;
  return *kind == model_store::Kind::kSegmenter ? jobs::TrainedModels::kSegmenter
                                                : jobs::TrainedModels::kDetector;
}

// label-studio-ml without a job queue answers 201 without a job, too.
awaitable<Response> Train(Application& app, Request& request, Context& context) {
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
  const auto kind = KindIn(request);
  if (!kind.ok()) co_return http::ErrorResponse(kind.status());
  auto starting = StartTraining(app, {.id = parsed->project_id, .created = parsed->project_created},
                                ModelsOf(*kind), context);
  auto job = co_await std::move(starting);
  if (!job.ok()) co_return TrainingError(job.status());
  co_return http::JsonResponse(*std::move(job), 201);
}

Response NoTrainer() {
  return http::ErrorResponse(404, "Nothing is trained here: the gateway has no --trainer.");
}

// Answers with what `ask(project)` tells.
template <typename Ask>
awaitable<Response> OfProject(Application& app, std::string project, Context& context, Ask ask) {
  if (!app.trainings.enabled()) co_return NoTrainer();
  NoteProject(project, context.request);
  if (!label_studio_api::IsProjectId(project)) co_return NoProject();
  auto asking = ask(std::move(project));
  auto answer = co_await std::move(asking);
  if (!answer.ok()) co_return TrainingError(answer.status());
  co_return http::JsonResponse(*std::move(answer));
}

awaitable<Response> Answer(Response response) { co_return response; }

awaitable<Response> Progress(Application& app, Request& request, Context& context) {
  const auto kind = KindIn(request);
  if (!kind.ok()) return Answer(http::ErrorResponse(kind.status()));
  return OfProject(app, ProjectIn(request), context, [&app, kind = *kind](std::string project) {
    return app.trainings.Describe(std::move(project), kind);
  });
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

// OK for a project of the operator's Label Studio. Whoever may train and tells no time of creation
// (`duet train`, curl) means that Label Studio's: it says itself whether there is such a project.
awaitable<absl::Status> CheckIsOperators(Application& app, NamedProject project,
                                         const prelabel::Profile& profile) {
  const label_studio_api::OperatorSite& site = app.options.label_studio;
  const std::string id = project.id;
  if (project.created == 0 && site.token != nullptr) {
    auto asking = app.label_studio_api.Project(label_studio_api::ChooseSite(site, {}), id);
    const auto info = co_await std::move(asking);
    if (info.ok()) co_return absl::OkStatus();
    if (absl::IsNotFound(info.status())) {
      co_return absl::NotFoundError(
          text::StrCat("there is no project ", id, " at ", site.url, " that the token may see"));
    }
    // Its 401 is not ours.
    const bool refused =
        absl::IsUnauthenticated(info.status()) || absl::IsPermissionDenied(info.status());
    co_return absl::Status(
        refused ? absl::StatusCode::kFailedPrecondition : info.status().code(),
        text::StrCat("Label Studio at ", site.url, ": ", info.status().message()));
  }
  const auto said = app.memory.Find(app.ProjectKey(profile, id, project.created));
  if (said) project.setup = said->label_studio;
  const std::string name = project.setup.url;
  const bool by_time = project.created != 0 && site.token != nullptr;
  auto asking = app.own_projects.Of(std::move(project));
  const Whose whose = co_await std::move(asking);
  if (whose == Whose::kOperators) co_return absl::OkStatus();
  if (by_time && whose == Whose::kUnknown) {
    co_return absl::UnavailableError(text::StrCat("Label Studio at ", site.url,
                                                  " could not tell when its project ", id,
                                                  " was created, so it isn't known whose this is"));
  }
  co_return absl::FailedPreconditionError(text::StrCat(
      "project ", id, " is no project of --label_studio_url=", site.url,
      ", from where trainings take annotations: ",
      by_time ? std::string("there it was created at another time, or isn't")
              : text::StrCat("its Label Studio calls itself ", name,
                             "; if it is the same one, name that by --label_studio_alias")));
}

// A training begins from the default profile's model, and is compared with it. For a project that
// another profile's services answer that would be the wrong one.
absl::Status CheckProfile(Application& app, const NamedProject& project, model_store::Kind kind,
                          const http::Context& context) {
  const auto service_of = [&](const prelabel::Profile& profile) -> const void* {
    if (kind == model_store::Kind::kSegmenter) return profile.segmenter.get();
    return profile.detector.get();
  };
  const void* const trained = service_of(app.profiles.default_profile());
  // What is known of who answers it: Label Studio's button names its backend, `duet train` none.
  std::string other;
  for (const auto& [name, profile] : app.profiles.all()) {
    const bool asked =
        &profile == &app.ProfileOf(context) && (context.route == "/webhook" || !name.empty());
    if (!asked && !app.memory.Find(app.ProjectKey(profile, project.id, project.created))) continue;
    if (service_of(profile) == trained) return absl::OkStatus();
    other = name;
  }
  if (other.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(text::StrCat(
      "project ", project.id, " is answered by the profile ", other,
      ", whose model isn't the default profile's, which trainings begin from; a gateway of its own "
      "with a trainer that has its checkpoint can train it"));
}

}  // namespace

Response TrainingError(const absl::Status& status) {
  // What was asked too early may be asked again, but not by waiting for a service.
  if (!absl::IsResourceExhausted(status)) return http::ErrorResponse(status);
  return http::ErrorResponse(429, std::string(status.message()));
}

json::object NotTrained() {
  return {{"job", nullptr},
          {"status", "not trained"},
          {"detail", "Duet does not train on request. It goes on with the models that it loaded."}};
}

awaitable<absl::StatusOr<json::object>> StartTraining(Application& app, NamedProject project,
                                                      jobs::TrainedModels models,
                                                      Context& context) {
  NoteProject(project.id, context.request);
  if (!label_studio_api::IsProjectId(project.id)) {
    co_return absl::InvalidArgumentError(
        "the request names no project; needed: its number, {\"project\": \"7\"}");
  }
  const auto check = [&](model_store::Kind kind) {
    return CheckProfile(app, project, kind, context);
  };
  const bool only_segmenter = models == jobs::TrainedModels::kSegmenter;
  if (absl::Status status =
          check(only_segmenter ? model_store::Kind::kSegmenter : model_store::Kind::kDetector);
      !status.ok()) {
    co_return status;
  }
  // The detector's training is no worse for another segmenter, or none.
  if (models == jobs::TrainedModels::kBoth &&
      (app.profiles.default_profile().segmenter == nullptr ||
       !check(model_store::Kind::kSegmenter).ok())) {
    models = jobs::TrainedModels::kDetector;
  }
  const std::string id = project.id;
  auto checking = CheckIsOperators(app, std::move(project), app.ProfileOf(context));
  const absl::Status its = co_await std::move(checking);
  if (!its.ok()) co_return its;
  auto starting = app.trainings.Start(id, models, AskerOf(app, context));
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
