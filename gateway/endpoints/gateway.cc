#include "gateway/endpoints/gateway.h"

#include <vector>

#include "gateway/endpoints/gate.h"

namespace gateway::endpoints {

boost::asio::awaitable<Gateway::ResolvedSetup> Gateway::ResolveSetup(
    const prelabel::Profile& profile, std::string project_id) {
  const std::string key = ProjectKey(profile, project_id);
  prelabel::ProjectSetup setup = memory.Find(key).value_or(
      prelabel::ProjectSetup{.settings = profile.settings, .label_studio = {}});
  if (setup.shared) {
    auto finding = settings_store.Find(key, profile.settings);
    const std::optional<prelabel::Settings> shared = co_await std::move(finding);
    if (shared && *shared != setup.settings) {
      setup.settings = *shared;
      memory.Remember(key, setup);  // for when Redis is away
    }
  }
  label_studio_api::LabelStudioSite site =
      label_studio_api::ChooseSite(options.label_studio, setup.label_studio);
  co_return ResolvedSetup{.settings = std::move(setup.settings), .label_studio = std::move(site)};
}

std::vector<std::string> Gateway::VersionsOf(const prelabel::Profile& profile) const {
  const auto models = prelabel::Serving(profile);
  if (!models) return {};
  std::vector<std::string> versions = memory.Announced(profile.name);
  std::erase_if(versions, [serving = models->versions()](const std::string& version) {
    return !version.starts_with(serving);
  });
  if (versions.empty())
    versions.push_back(models->versions() + prelabel::Fingerprint(profile.settings));
  return versions;
}

void Gateway::SchedulePrefetch(const prelabel::Profile& profile, ResolvedSetup setup,
                               const std::string& project_id, std::int64_t task_id, bool opened,
                               const http::Context& context) {
  prefetcher.Schedule({.opened = opened,
                       .profile = profile,
                       .settings = std::move(setup.settings),
                       .label_studio = std::move(setup.label_studio),
                       .project_id = project_id,
                       .task_id = task_id,
                       .request_id = context.request.request_id(),
                       .traceparent = context.request.traceparent()});
}

void AddRoutes(Gateway& gateway, http::Router& router) {
  AddPredict(gateway, router);
  AddSetup(gateway, router);
  AddWebhook(gateway, router);
  AddStatus(gateway, router);
  AddTraining(gateway, router);
  AddJobs(gateway, router);
  // Label Studio keeps the path of the backend URL, so a proxy may put us anywhere; only the root
  // has to be exact.
  router.set_prefix_rule([](std::string_view prefix, const http::Route& route) {
    return prefix.empty() || route.pattern != "/" || prelabel::ProfileName(prefix).has_value();
  });
  AddGates(gateway, router);
}

}  // namespace gateway::endpoints
