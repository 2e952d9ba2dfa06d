// POST /embed/{project}: all images of a project are embedded before somebody clicks into them
// (jobs/embedding_runs.h). Who may begin and end it says training_door.h. The project is one of the
// operator's Label Studio, and is read with the operator's token.
#include <boost/json/object.hpp>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/endpoints/body.h"
#include "gateway/endpoints/routes.h"
#include "prelabel/kept_embeddings.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
using boost::asio::awaitable;
using boost::beast::http::verb;
using http::Context;
using http::Request;
using http::Response;

constexpr auto kLoadPatience = std::chrono::seconds(15);

// The project of "/embed/7" and "/embed/7/cancel".
std::string ProjectIn(const Request& request, std::string_view action = "") {
  std::string_view path = text::WithoutTrailingSlashes(request.path);
  if (!action.empty()) path.remove_suffix(action.size() + 1);
  return std::string(path.substr(path.rfind('/') + 1));
}

Response NoProject() {
  return http::ErrorResponse(404, "There is no such project; needed: its number.");
}

// Of the operator's project of this number; a run has no other.
std::string KeyOf(const prelabel::Profile& profile, const std::string& project_id) {
  return Application::ProjectKey(profile, {.id = project_id}, Whose::kOperators);
}

awaitable<absl::StatusOr<json::object>> StartEmbedding(Application& app, std::string project_id,
                                                       Context& context) {
  const prelabel::Profile& profile = app.ProfileOf(context);
  if (!profile.segmenter) {
    co_return absl::FailedPreconditionError("there is no segmenter; needed: --segmenter");
  }
  const label_studio_api::LabelStudioSite site =
      label_studio_api::ChooseSite(app.options.label_studio, {});
  if (site.url.empty() || site.Token().empty()) {
    co_return absl::FailedPreconditionError(
        "tasks are listed through Label Studio's API; needed: --label_studio_url and a token");
  }
  auto asking = app.label_studio_api.Project(site, project_id);
  const auto info = co_await std::move(asking);
  if (absl::IsNotFound(info.status())) {
    co_return absl::NotFoundError(text::StrCat("there is no project ", project_id, " at ", site.url,
                                               " that the token may see"));
  }
  if (!info.ok()) co_return ByLabelStudio(info.status());
  auto resolving = app.ResolveSetup(profile, project_id, info->created);
  const Application::ResolvedSetup setup = co_await std::move(resolving);
  auto finding = app.projects.Get(app.pool, info->label_config, setup.settings);
  const auto project = co_await std::move(finding);
  if (!project.ok()) co_return project.status();
  auto serving =
      app.AwaitServing(profile, setup.model_name, std::chrono::steady_clock::now() + kLoadPatience);
  const auto models = co_await std::move(serving);
  if (!models) co_return Application::ModelsUnknown(profile, setup.model_name);
  absl::Status keeps = prelabel::CheckKeepsEmbeddings(*models->segmenter);
  if (!keeps.ok()) co_return keeps;
  co_return app.embedding_runs.Start(
      {.profile = profile,
       .key = KeyOf(profile, project_id),
       .project_id = project_id,
       .project_created = info->created,
       .tasks = info->tasks,
       .project = *project,
       .model_name = setup.model_name,
       .segmenter = models->segmenter,
       .label_studio = site,
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
