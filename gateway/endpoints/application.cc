#include "gateway/endpoints/application.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace gateway::endpoints {
namespace {

std::shared_ptr<const BasicAuth> AuthOf(const ApplicationOptions& options) {
  if (options.basic_auth_user.empty()) return nullptr;
  return std::make_shared<BasicAuth>(options.basic_auth_user, options.basic_auth_password);
}

}  // namespace

Application::Application(ApplicationOptions options, prelabel::Profiles& profiles,
                         image_fetch::ImageFetcher& fetcher, boost::asio::thread_pool& pool,
                         boost::asio::any_io_executor executor, serving::Metrics& metrics,
                         serving::RedisClient* redis, backends::TrainerClient* trainer)
    : options(std::move(options)),
      auth(AuthOf(this->options)),
      profiles(profiles),
      fetcher(fetcher),
      pool(pool),
      metrics(metrics),
      settings_store(redis, metrics),
      predictor(fetcher, pool, metrics),
      label_studio_api(this->options.network, this->options.address_policy),
      own_projects(executor, this->options.label_studio, label_studio_api),
      jobs(executor, predictor, label_studio_api, metrics, this->options.background),
      prefetcher(executor, predictor, label_studio_api, projects, pool, metrics,
                 this->options.prefetch),
      training_door(executor, this->options.label_studio.url, auth),
      renewal(executor, *this),
      trainings(executor, trainer, label_studio_api,
                label_studio_api::ChooseSite(this->options.label_studio, {}), pool, metrics,
                this->options.training,
                {.swapped = [this](const jobs::Swap& swap) { renewal.Start(swap); },
                 .serving_changed = [this] { LookSoon(); },
                 .is_own =
                     [this](std::string id, std::int64_t created) {
                       return own_projects.Has({.id = std::move(id), .created = created});
                     }}) {
  DeclareMetrics(metrics);
  if (!trainings.enabled()) return;
  DeclareTrainingMetrics(metrics);
  training_door.Begin();
  trainings.Begin();
}

void Application::StopBackground() {
  jobs.Stop();
  prefetcher.Stop();
  training_door.Stop();
  renewal.Stop();
  trainings.Stop();
}

void Application::LookSoon() {
  for (const auto& [name, profile] : profiles.all()) {
    if (profile.detector) profile.detector->LookSoon();
    if (profile.segmenter) profile.segmenter->LookSoon();
  }
}

boost::asio::awaitable<Application::ResolvedSetup> Application::ResolveSetup(
    const prelabel::Profile& profile, std::string project_id, std::int64_t created) {
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
  auto naming = ModelNameFor(
      profile, {.id = project_id, .created = created, .setup = std::move(setup.label_studio)});
  std::string model_name = co_await std::move(naming);
  co_return ResolvedSetup{.settings = std::move(setup.settings),
                          .label_studio = std::move(site),
                          .model_name = std::move(model_name)};
}

boost::asio::awaitable<std::string> Application::ModelNameFor(const prelabel::Profile& profile,
                                                              NamedProject project) {
  std::string name = ModelNameOf(project.id);
  if (!prelabel::HasModel(profile, name)) co_return backends::kDefaultModel;
  auto asking = own_projects.Has(std::move(project));
  const bool own = co_await std::move(asking);
  co_return own ? std::move(name) : backends::kDefaultModel;
}

boost::asio::awaitable<std::optional<prelabel::ServedModels>> Application::AwaitServing(
    const prelabel::Profile& profile, std::string model_name, std::chrono::milliseconds patience) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
  while (true) {
    auto models = prelabel::Serving(profile, model_name);
    if (models || !prelabel::Serving(profile) || std::chrono::steady_clock::now() >= give_up) {
      co_return models;
    }
    timer.expires_after(std::chrono::milliseconds(20));
    co_await timer.async_wait(boost::asio::use_awaitable);
  }
}

std::vector<std::string> Application::VersionsOf(const prelabel::Profile& profile) const {
  const auto models = prelabel::Serving(profile);
  if (!models) return {};
  std::vector<std::string> versions;
  for (auto& [version, model_name] : memory.Announced(profile.name)) {
    // A name that nobody serves any more stands for the default model.
    const auto serving = prelabel::Serving(profile, model_name);
    if (serving && version.starts_with(serving->versions())) versions.push_back(version);
  }
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
                       .model_name = std::move(setup.model_name),
                       .task_id = task_id,
                       .request_id = context.request.request_id(),
                       .traceparent = context.request.traceparent()});
}

}  // namespace gateway::endpoints
