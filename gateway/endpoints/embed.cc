// POST /embed/{project}: all images of a project are embedded before somebody clicks into them
// (jobs/embedding_runs.h). Who may begin and end it says training_door.h, who may see how it goes
// operator_door.h. The project is one of the operator's Label Studio, and is read with the
// operator's token.
#include <boost/json/object.hpp>
#include <string>
#include <utility>

#include "gateway/endpoints/body.h"
#include "gateway/endpoints/operator_project.h"
#include "gateway/endpoints/routes.h"
#include "prelabel/kept_embeddings.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
using boost::asio::awaitable;
using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;

// Of the operator's project of this number; a run has no other.
std::string KeyOf(const prelabel::Profile& profile, const std::string& project_id) {
  return Application::ProjectKey(profile, {.id = project_id}, Whose::kOperators);
}

awaitable<absl::StatusOr<json::object>> StartEmbedding(Application& app, std::string project_id,
                                                       Context& context) {
  if (!app.ProfileOf(context).segmenter) {
    co_return absl::FailedPreconditionError("there is no segmenter; needed: --segmenter");
  }
  auto finding = FindOperatorProject(app, std::move(project_id), "tasks are listed", context);
  const auto found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  absl::Status keeps = prelabel::CheckKeepsEmbeddings(*found->models.segmenter);
  if (!keeps.ok()) co_return keeps;
  co_return app.embedding_runs.Start(
      {.profile = found->profile,
       .key = KeyOf(found->profile, found->id),
       .project_id = found->id,
       .project_created = found->info.created,
       .tasks = found->info.tasks,
       .project = found->project,
       .model_name = found->setup.model_name,
       .segmenter = found->models.segmenter,
       .label_studio = found->site,
       .who = text::StrCat("POST ", context.route, " from ", app.training_door.NameOf(context)),
       .request_id = context.request.request_id()});
}

awaitable<Response> Embed(Application& app, Request& request, Context& context) {
  std::string project = ProjectIn(request);
  NoteProject(project, context.request);
  if (!label_studio_api::IsProjectId(project)) co_return NoProject();
  auto starting = StartEmbedding(app, std::move(project), context);
  auto run = co_await std::move(starting);
  context.request.NoteStr("embedding", run.ok() ? "started" : "not started");
  if (!run.ok()) co_return TrainingError(run.status());
  co_return http::JsonResponse(*std::move(run), 202);
}

// What the runs say of a project.
template <typename Ask>
Response OfProject(const std::string& project, Context& context, Ask ask) {
  NoteProject(project, context.request);
  if (!label_studio_api::IsProjectId(project)) return NoProject();
  auto answer = ask(project);
  if (!answer.ok()) return http::ErrorResponse(answer.status());
  return http::JsonResponse(*std::move(answer));
}

Response Progress(Application& app, const Request& request, Context& context) {
  return OfProject(ProjectIn(request), context, [&](const std::string& project) {
    return app.embedding_runs.Find(KeyOf(app.ProfileOf(context), project));
  });
}

Response Cancel(Application& app, const Request& request, Context& context) {
  return OfProject(ProjectIn(request, "cancel"), context, [&](const std::string& project) {
    return app.embedding_runs.Cancel(
        KeyOf(app.ProfileOf(context), project),
        text::StrCat("POST ", context.route, " from ", app.training_door.NameOf(context)));
  });
}

}  // namespace

void AddEmbed(Application& app, http::Router& router) {
  router.Add(verb::post, "/embed/{project}", WithApplication(app, Embed));
  router.AddQuick(verb::get, "/embed/{project}", WithApplication(app, Progress));
  router.AddQuick(verb::post, "/embed/{project}/cancel", WithApplication(app, Cancel));
}

}  // namespace gateway::endpoints
