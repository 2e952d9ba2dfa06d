// What the endpoints work with: the predictor, what is remembered of projects, and the work that no
// request waits for.
#ifndef DUET_GATEWAY_ENDPOINTS_APPLICATION_H_
#define DUET_GATEWAY_ENDPOINTS_APPLICATION_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/service_calls.h"
#include "gateway/endpoints/metrics.h"
#include "gateway/endpoints/own_projects.h"
#include "gateway/endpoints/recent.h"
#include "gateway/endpoints/renewal.h"
#include "gateway/endpoints/training_door.h"
#include "gateway/http/cross_site.h"
#include "gateway/http/message.h"
#include "gateway/jobs/background_jobs.h"
#include "gateway/jobs/embedding_runs.h"
#include "gateway/jobs/prefetcher.h"
#include "gateway/jobs/serving_watch.h"
#include "gateway/jobs/settings_store.h"
#include "gateway/jobs/trainings.h"
#include "http_client/network.h"
#include "image_fetch/image_fetcher.h"
#include "label_studio_api/label_studio_api.h"
#include "label_studio_api/label_studio_choice.h"
#include "prelabel/predictor.h"
#include "prelabel/profiles.h"
#include "prelabel/project.h"
#include "prelabel/project_cache.h"
#include "prelabel/project_memory.h"
#include "serving/metrics.h"

namespace gateway::endpoints {

struct ApplicationOptions {
  label_studio_api::OperatorSite label_studio;
  // For what the operator didn't name.
  http_client::AddressPolicy address_policy = {};
  // How Label Studio's API is reached; null: http_client::Network::Default().
  std::shared_ptr<http_client::Network> network;
  // Basic auth; an empty user asks for none. REQUIRES: there is a password then.
  std::string basic_auth_user;
  std::shared_ptr<const serving::Secret> basic_auth_password;
  // Label Studio gives up after 100 s.
  std::chrono::milliseconds predict_deadline = std::chrono::seconds(90);
  // Whether there is a page at /ui.
  bool ui = true;
  // Of this server, as browsers may address it (http/cross_site.h).
  http::OwnNames own_names;
  // What counts the calls of all profiles' services (backends::Counted), for the page.
  std::shared_ptr<backends::ServiceCalls> detector_calls =
      std::make_shared<backends::ServiceCalls>();
  std::shared_ptr<backends::ServiceCalls> segmenter_calls =
      std::make_shared<backends::ServiceCalls>();
  // Tasks of one request in work at once: some are fetched while others are computed.
  int batch_concurrency = 8;
  // Of a batch's predictions; what comes beyond is left for the next time.
  std::size_t max_answer_bytes = 128 << 20;
  gateway::jobs::BackgroundOptions background;
  gateway::jobs::PrefetchOptions prefetch;
  gateway::jobs::EmbeddingOptions embedding;
  gateway::jobs::TrainingOptions training;
};

// One a process. Members that are references outlive it, as do `redis` (null: nothing is shared
// with other gateways) and `trainer` (null: nothing is trained), and so does the context of
// `executor`, which runs what no request waits for; at destruction nobody runs it any more.
// Thread-safe.
struct Application {
  Application(ApplicationOptions options, prelabel::Profiles& profiles,
              image_fetch::ImageFetcher& fetcher, boost::asio::thread_pool& pool,
              boost::asio::any_io_executor executor, serving::Metrics& metrics,
              serving::RedisClient* redis = nullptr, backends::TrainerClient* trainer = nullptr);

  // Whether the project is one of --label_studio_url's beyond doubt.
  boost::asio::awaitable<bool> IsOwn(std::string project_id, std::int64_t created);
  // What names serve changes about now: all services are asked soon.
  void LookSoon();
  // Nothing that no request waits for begins from now on.
  void StopBackground();

  // REQUIRES: the gate has let the request pass.
  const prelabel::Profile& ProfileOf(const http::Context& context) const {
    return *profiles.ForPrefix(context.prefix);
  }
  // What a project's requests are answered with.
  struct ResolvedSetup {
    std::string key;  // ProjectKey
    prelabel::Settings settings;
    label_studio_api::LabelStudioSite label_studio;
    std::string model_name;  // that its models are asked for by
  };
  // By what /setup has said (to any gateway), else the profile's settings. The site: ChooseSite's;
  // of a project that isn't the operator's, what its own /setup says. `created` as NamedProject's.
  boost::asio::awaitable<ResolvedSetup> ResolveSetup(const prelabel::Profile& profile,
                                                     std::string project_id, std::int64_t created);
  // By which name the models of a project are asked for: "project-7" if a service of the profile
  // has that model and it is this project's, else "default".
  std::string ModelNameFor(const prelabel::Profile& profile, const NamedProject& project,
                           Whose whose);
  // The models that answer for the name. Waits for one that is being loaded, until `give_up`; not
  // for services that haven't been heard of.
  boost::asio::awaitable<std::optional<prelabel::ServedModels>> AwaitServing(
      const prelabel::Profile& profile, std::string model_name,
      std::chrono::steady_clock::time_point give_up);
  // Unavailable: why that gave none.
  static absl::Status ModelsUnknown(const prelabel::Profile& profile,
                                    const std::string& model_name);
  // The versions that predictions may carry now, the one that /setup announced last first; before
  // any /setup, that of the profile's settings. Empty as long as a model hasn't been heard of.
  std::vector<std::string> VersionsOf(const prelabel::Profile& profile) const;
  // Embeds the tasks that come after this one of a /predict, in the background. `opened`: the task
  // has just been opened, else somebody has clicked into it.
  void SchedulePrefetch(const prelabel::Profile& profile, ResolvedSetup setup,
                        const std::string& project_id, std::int64_t created, std::int64_t task_id,
                        bool opened, const http::Context& context);

  // For `memory`, `settings_store` and `prefetcher`. A project of another Label Studio than the
  // operator's doesn't share what is remembered with the operator's of that number.
  static std::string ProjectKey(const prelabel::Profile& profile, const NamedProject& project,
                                Whose whose);
  // By what is known of the project now.
  std::string ProjectKey(const prelabel::Profile& profile, const std::string& project_id,
                         std::int64_t created) {
    const bool foreign = own_projects.IsForeign(project_id, created);
    return ProjectKey(profile, {.id = project_id, .created = created},
                      foreign ? Whose::kForeign : Whose::kUnknown);
  }

  gateway::jobs::ServingWatch::Hooks ServingHooks();

  const ApplicationOptions options;
  const std::shared_ptr<const BasicAuth> auth;  // null: nobody needs credentials
  prelabel::Profiles& profiles;
  image_fetch::ImageFetcher& fetcher;
  boost::asio::thread_pool& pool;  // for computing
  serving::Metrics& metrics;
  Recent recent;
  prelabel::ProjectMemory memory;
  prelabel::ProjectCache projects;
  gateway::jobs::SettingsStore settings_store;
  prelabel::Predictor predictor;
  label_studio_api::LabelStudioApi label_studio_api;
  OwnProjects own_projects;
  gateway::jobs::BackgroundJobs jobs;
  gateway::jobs::Prefetcher prefetcher;
  gateway::jobs::EmbeddingRuns embedding_runs;
  TrainingDoor training_door;
  Renewal renewal;
  gateway::jobs::ServingWatch serving_watch;
  gateway::jobs::Trainings trainings;
  std::atomic<bool> ready = false;
  std::atomic<bool> reviewing = false;  // somebody has the turn of GET /review
  const std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
};

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_APPLICATION_H_
