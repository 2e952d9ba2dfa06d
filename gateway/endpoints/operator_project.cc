#include "gateway/endpoints/operator_project.h"

#include <chrono>
#include <utility>

#include "gateway/endpoints/routes.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace gateway::endpoints {
namespace {

constexpr auto kLoadPatience = std::chrono::seconds(15);

}  // namespace

boost::asio::awaitable<absl::StatusOr<OperatorProject>> FindOperatorProject(
    Application& app, std::string project_id, std::string_view what, http::Context& context) {
  label_studio_api::LabelStudioSite site =
      label_studio_api::ChooseSite(app.options.label_studio, {});
  if (site.url.empty() || site.Token().empty()) {
    co_return absl::FailedPreconditionError(
        text::StrCat(what, " through Label Studio's API; needed: --label_studio_url and a token"));
  }
  auto asking = app.label_studio_api.Project(site, project_id);
  auto info = co_await std::move(asking);
  if (absl::IsNotFound(info.status())) {
    co_return absl::NotFoundError(text::StrCat("there is no project ", project_id, " at ", site.url,
                                               " that the token may see"));
  }
  if (!info.ok()) co_return ByLabelStudio(info.status());
  const prelabel::Profile& profile = app.ProfileOf(context);
  auto resolving = app.ResolveSetup(profile, project_id, info->created);
  Application::ResolvedSetup setup = co_await std::move(resolving);
  auto finding = app.projects.Get(app.pool, info->label_config, setup.settings);
  auto project = co_await std::move(finding);
  if (!project.ok()) co_return project.status();
  auto serving =
      app.AwaitServing(profile, setup.model_name, std::chrono::steady_clock::now() + kLoadPatience);
  auto models = co_await std::move(serving);
  if (!models) co_return Application::ModelsUnknown(profile, setup.model_name);
  co_return OperatorProject{.profile = profile,
                            .id = std::move(project_id),
                            .site = std::move(site),
                            .info = *std::move(info),
                            .setup = std::move(setup),
                            .project = *std::move(project),
                            .models = *std::move(models)};
}

absl::Status ByLabelStudio(const absl::Status& status) {
  const bool refused = absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
  return refused ? absl::FailedPreconditionError(status.message()) : status;
}

std::string ProjectIn(const http::Request& request, std::string_view action) {
  std::string_view path = text::WithoutTrailingSlashes(request.path);
  if (!action.empty()) path.remove_suffix(action.size() + 1);
  return std::string(path.substr(path.rfind('/') + 1));
}

http::Response NoProject() {
  return http::ErrorResponse(404, "There is no such project; needed: its number.");
}

}  // namespace gateway::endpoints
