#include "gateway/endpoints/application.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "text/str_cat.h"

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
      jobs(executor, predictor, label_studio_api, metrics, this->options.background,
           [this](const std::string& id, std::int64_t created) {
             return own_projects.IsForeign(id, created);
           }),
      prefetcher(executor, predictor, label_studio_api, projects, pool, metrics,
                 this->options.prefetch),
      embedding_runs(executor, predictor, label_studio_api, metrics, this->options.embedding),
      training_door(executor, this->options.label_studio.url, auth),
      renewal(executor, *this),
      serving_watch(executor, this->options.training.model_root, this->options.training.look,
                    ServingHooks()),
      trainings(executor, trainer, label_studio_api,
                label_studio_api::ChooseSite(this->options.label_studio, {}), serving_watch,
                metrics, this->options.training,
                {.is_own = [this](std::string id, std::int64_t created) {
                  return IsOwn(std::move(id), created);
                }}) {
  DeclareMetrics(metrics);
  if (serving_watch.enabled()) serving_watch.Begin();
  training_door.Begin();
  if (!trainings.enabled()) return;
  DeclareTrainingMetrics(metrics);
  trainings.Begin();
}

boost::asio::awaitable<bool> Application::IsOwn(std::string project_id, std::int64_t created) {
  // What says no time proves nothing.
  if (created == 0) co_return false;
  auto asking = own_projects.Of({.id = std::move(project_id), .created = created});
  const Whose whose = co_await std::move(asking);
  co_return whose == Whose::kOperators;
}

void Application::StopBackground() {
  jobs.Stop();
  prefetcher.Stop();
  embedding_runs.Stop();
  training_door.Stop();
  renewal.Stop();
  serving_watch.Stop();
  trainings.Stop();
}

jobs::ServingWatch::Hooks Application::ServingHooks() {
  jobs::ServingWatch::Hooks hooks{
      .changed = [this] { LookSoon(); },
      .renew = nullptr,
      .is_ours =
          [this](const std::string& url) { return url.empty() || own_projects.IsItsUrl(url); }};
  if (!options.label_studio.url.empty() && options.label_studio.token != nullptr) {
    hooks.renew = [this](const jobs::Swap& swap) { renewal.Start(swap); };
  }
  return hooks;
}

void Application::LookSoon() {
  for (const auto& [name, profile] : profiles.all()) {
    if (profile.detector) profile.detector->LookSoon();
    if (profile.segmenter) profile.segmenter->LookSoon();
  }
}

std::string Application::ProjectKey(const prelabel::Profile& profile, const NamedProject& project,
                                    Whose whose) {
  std::string key = text::StrCat(profile.name, "/", project.id);
  if (whose == Whose::kForeign) text::StrAppend(&key, ".", project.created);
  return key;
}

boost::asio::awaitable<Application::ResolvedSetup> Application::ResolveSetup(
    const prelabel::Profile& profile, std::string project_id, std::int64_t created) {
  NamedProject project{.id = std::move(project_id), .created = created};
  if (const auto said = memory.Find(ProjectKey(profile, project, Whose::kUnknown))) {
    project.setup = said->label_studio;
  }
  // Whose it is must be known where a model of its own may answer, and where something is stored.
  bool must_know = prelabel::HasModel(profile, ModelNameOf(project.id));
  Whose whose = own_projects.KnownOf(project);
  std::string key;
  prelabel::ProjectSetup setup;
  while (true) {
    if (must_know) {
      auto asking = own_projects.Of(project);
      whose = co_await std::move(asking);
    }
    key = ProjectKey(profile, project, whose);
    setup = memory.Find(key).value_or(
        prelabel::ProjectSetup{.settings = profile.settings, .label_studio = {}});
    if (setup.shared) {
      auto finding = settings_store.Find(key, profile.settings);
      const std::optional<prelabel::Settings> shared = co_await std::move(finding);
      if (shared && *shared != setup.settings) {
        setup.settings = *shared;
        memory.Remember(key, setup);  // for when Redis is away
      }
    }
    const bool pushes = setup.settings.background == prelabel::Background::kPush;
    if (must_know || whose != Whose::kUnknown || !pushes) break;
    must_know = true;
  }
  project.setup = setup.label_studio;
  std::string model_name = ModelNameFor(profile, project, whose);
  label_studio_api::LabelStudioSite site = label_studio_api::ChooseSite(
      whose == Whose::kForeign ? label_studio_api::OperatorSite() : options.label_studio,
      setup.label_studio);
  co_return ResolvedSetup{.key = std::move(key),
                          .settings = std::move(setup.settings),
                          .label_studio = std::move(site),
                          .model_name = std::move(model_name)};
}

std::string Application::ModelNameFor(const prelabel::Profile& profile, const NamedProject& project,
                                      Whose whose) {
  std::string name = ModelNameOf(project.id);
  if (name.empty() || options.label_studio.url.empty()) return backends::kDefaultModel;
  const std::vector<backends::ModelOwner> owners = prelabel::OwnersOf(profile, name);
  const bool all_its = std::all_of(owners.begin(), owners.end(), [&](const auto& owner) {
    return own_projects.IsModelOf(owner, project, whose);
  });
  return owners.empty() || !all_its ? backends::kDefaultModel : std::move(name);
}

boost::asio::awaitable<std::optional<prelabel::ServedModels>> Application::AwaitServing(
    const prelabel::Profile& profile, std::string model_name,
    std::chrono::steady_clock::time_point give_up) {
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

absl::Status Application::ModelsUnknown(const prelabel::Profile& profile,
                                        const std::string& model_name) {
  if (!prelabel::Serving(profile)) {
    return absl::UnavailableError("the models have not been heard of yet");
  }
  return absl::UnavailableError(text::StrCat("the model ", model_name, " is being loaded"));
}

std::vector<std::string> Application::VersionsOf(const prelabel::Profile& profile) const {
  const auto models = prelabel::Serving(profile);
  if (!models) return {};
  std::vector<std::string> versions;
  for (auto& [version, model_name] : memory.Announced(profile.name)) {
    // A name that nobody serves any more stands for the default model.
    const auto serving = prelabel::KnownServing(profile, model_name);
    if (serving && version.starts_with(serving->versions())) versions.push_back(version);
  }
  if (versions.empty())
    versions.push_back(models->versions() + prelabel::Fingerprint(profile.settings));
  return versions;
}

void Application::SchedulePrefetch(const prelabel::Profile& profile, ResolvedSetup setup,
                                   const std::string& project_id, std::int64_t created,
                                   std::int64_t task_id, bool opened,
                                   const http::Context& context) {
  prefetcher.Schedule({.opened = opened,
                       .profile = profile,
                       .settings = std::move(setup.settings),
                       .label_studio = std::move(setup.label_studio),
                       .key = std::move(setup.key),
                       .project_id = project_id,
                       .project_created = created,
                       .model_name = std::move(setup.model_name),
                       .task_id = task_id,
                       .request_id = context.request.request_id(),
                       .traceparent = context.request.traceparent()});
}

}  // namespace gateway::endpoints
