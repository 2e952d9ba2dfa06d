#include "gateway/endpoints/application.h"

#include <utility>

namespace gateway::endpoints {

Application::Application(ApplicationOptions options, prelabel::Profiles& profiles,
                         image_fetch::ImageFetcher& fetcher, boost::asio::thread_pool& pool,
                         boost::asio::any_io_executor executor, serving::Metrics& metrics,
                         serving::RedisClient* redis)
    : options(std::move(options)),
      profiles(profiles),
      fetcher(fetcher),
      pool(pool),
      metrics(metrics),
      settings_store(redis, metrics),
      predictor(fetcher, pool, metrics),
      label_studio_api(this->options.network, this->options.address_policy),
      jobs(executor, predictor, label_studio_api, metrics, this->options.background),
      prefetcher(executor, predictor, label_studio_api, projects, pool, metrics,
                 this->options.prefetch) {
  DeclareMetrics(metrics);
}

boost::asio::awaitable<Application::ResolvedSetup> Application::ResolveSetup(
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

std::vector<std::string> Application::VersionsOf(const prelabel::Profile& profile) const {
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

void Application::SchedulePrefetch(const prelabel::Profile& profile, ResolvedSetup setup,
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

}  // namespace gateway::endpoints
