#include "gateway/endpoints/renewal.h"

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <chrono>
#include <exception>
#include <set>
#include <utility>
#include <vector>

#include "gateway/endpoints/application.h"
#include "serving/log.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace gateway::endpoints {
namespace {

namespace asio = boost::asio;
using asio::awaitable;

constexpr auto kLook = std::chrono::milliseconds(100);
// A large model is loaded within it.
constexpr absl::Duration kLoadPatience = absl::Minutes(2);
// Until background jobs have room for more tasks.
constexpr absl::Duration kRoomPatience = absl::Minutes(30);
constexpr int kPage = 200;

awaitable<void> Pause(std::chrono::milliseconds duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

// Every replica that has the name serves the version, or would.
bool Follows(const backends::BackendHealth& health, const std::string& name,
             std::uint64_t version) {
  for (const auto& [address, of_replica] : health.names) {
    for (const backends::NameStatus& status : of_replica) {
      if (status.name != name) continue;
      const bool unloaded = status.loaded_version == 0 && !status.loading;
      if (status.stored_version != version) return false;
      if (status.loaded_version != version && !unloaded && status.error.empty()) return false;
    }
  }
  return true;
}

backends::BackendHealth HealthOf(const prelabel::Profile& profile, model_store::Kind kind) {
  if (kind == model_store::Kind::kSegmenter) {
    return profile.segmenter ? profile.segmenter->health() : backends::BackendHealth();
  }
  return profile.detector ? profile.detector->health() : backends::BackendHealth();
}

// Whether a replica tells of the name, loaded or not.
bool Tells(const backends::BackendHealth& health, const std::string& name) {
  for (const auto& [address, of_replica] : health.names) {
    for (const backends::NameStatus& status : of_replica) {
      if (status.name == name) return true;
    }
  }
  return false;
}

absl::Status AnotherServes() {
  return absl::AbortedError("another model serves it by now, whose predictions it gets");
}

}  // namespace

void Renewal::Start(const jobs::Swap& swap) {
  asio::co_spawn(asio::make_strand(executor_), Renew(swap),
                 [swap](const std::exception_ptr& error, const absl::Status& status) {
                   if (error) std::rethrow_exception(error);  // a bug: nothing in Renew throws
                   if (status.ok()) return;
                   serving::LogLine("predictions.not_renewed", serving::LogLevel::kWarning)
                       .Str("project", swap.project_id)
                       .Status(status);
                 });
}

awaitable<absl::Status> Renewal::AwaitVersion(jobs::Swap swap) {
  const std::string name = ModelNameOf(swap.project_id);
  const absl::Time give_up = absl::Now() + kLoadPatience;
  while (true) {
    bool heard = false;
    bool follow = true;
    for (const auto& [profile_name, profile] : app_.profiles.all()) {
      const backends::BackendHealth health = HealthOf(profile, swap.kind);
      if (!Tells(health, name)) continue;
      heard = true;
      follow = follow && Follows(health, name, swap.version);
    }
    if (follow && (heard || swap.version == 0)) co_return absl::OkStatus();
    if (stopping_ || absl::Now() >= give_up) {
      co_return absl::DeadlineExceededError(
          text::StrCat("not all replicas serve version ", swap.version, " of ", name, " yet"));
    }
    auto pause = Pause(kLook);
    co_await std::move(pause);
  }
}

awaitable<absl::Status> Renewal::Renew(jobs::Swap swap) {
  auto waiting = AwaitVersion(swap);
  if (absl::Status status = co_await std::move(waiting); !status.ok()) co_return status;
  const label_studio_api::LabelStudioSite site =
      label_studio_api::ChooseSite(app_.options.label_studio, {});
  auto describing = app_.label_studio_api.Project(site, swap.project_id);
  const auto info = co_await std::move(describing);
  if (!info.ok()) co_return info.status();
  auto asking = app_.label_studio_api.Backends(site, swap.project_id);
  const auto urls = co_await std::move(asking);
  if (!urls.ok()) co_return urls.status();
  std::set<const prelabel::Profile*> profiles;
  for (const std::string& url : *urls) {
    auto finding = ProfileAt(url, swap.project_id, info->created);
    if (const prelabel::Profile* profile = co_await std::move(finding)) profiles.insert(profile);
  }
  if (profiles.empty() && !urls->empty()) {
    co_return absl::FailedPreconditionError(
        "none of its ML backends has been set up at this gateway");
  }
  for (const prelabel::Profile* profile : profiles) {
    // A profile of other services has no such name, and nothing has changed for it.
    const bool concerned =
        swap.version == 0 || Tells(HealthOf(*profile, swap.kind), ModelNameOf(swap.project_id));
    if (!concerned) continue;
    auto renewing = RenewWith(*profile, swap, *info);
    if (absl::Status status = co_await std::move(renewing); !status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

awaitable<const prelabel::Profile*> Renewal::ProfileAt(std::string url, std::string project_id,
                                                       std::int64_t created) {
  const auto parsed = boost::urls::parse_uri(url);
  if (!parsed) co_return nullptr;
  const std::string path = parsed->path();
  const prelabel::Profile* const profile =
      app_.profiles.ForPrefix(text::WithoutTrailingSlashes(path));
  if (profile == nullptr) co_return nullptr;
  // Other programs have addresses without /p/NAME, too. Label Studio has just called /setup of all.
  const std::string key = app_.ProjectKey(*profile, project_id, created);
  if (app_.memory.Find(key)) co_return profile;
  auto finding = app_.settings_store.Find(key, profile->settings);
  const auto shared = co_await std::move(finding);
  co_return shared ? profile : nullptr;
}

awaitable<absl::Status> Renewal::RenewWith(const prelabel::Profile& profile, jobs::Swap swap,
                                           label_studio_api::ProjectInfo info) {
  auto resolving = app_.ResolveSetup(profile, swap.project_id, info.created);
  const Application::ResolvedSetup setup = co_await std::move(resolving);
  if (setup.settings.background != prelabel::Background::kPush) co_return absl::OkStatus();
  auto finding = app_.projects.Get(app_.pool, info.label_config, setup.settings);
  const auto project = co_await std::move(finding);
  if (!project.ok()) co_return project.status();
  auto serving = app_.AwaitServing(profile, setup.model_name,
                                   std::chrono::steady_clock::now() + std::chrono::seconds(30));
  const auto models = co_await std::move(serving);
  if (!models) co_return Application::ModelsUnknown(profile, setup.model_name);

  serving::RequestContext request;
  request.NoteStr("project", swap.project_id);
  prelabel::PredictContext predict{.profile = profile,
                                   .project = *project,
                                   .project_id = swap.project_id,
                                   .project_created = info.created,
                                   .model_name = setup.model_name,
                                   .model_version = (*project)->ModelVersion(*models),
                                   .label_studio = setup.label_studio,
                                   .call = {.request_id = request.request_id()},
                                   .push = true,
                                   .request = request};
  auto pushing = PushAll(predict);
  const auto pushed = co_await std::move(pushing);
  if (!pushed.ok()) co_return pushed.status();
  serving::LogLine("predictions.renewed")
      .Str("project", swap.project_id)
      .Str("profile", profile.name)
      .Str("model_version", predict.model_version)
      .Int("tasks", *pushed);
  co_return absl::OkStatus();
}

awaitable<absl::StatusOr<std::int64_t>> Renewal::PushAll(const prelabel::PredictContext& predict) {
  std::int64_t pushed = 0;
  absl::Time give_up = absl::Now() + kRoomPatience;
  for (std::int64_t after = 0; !stopping_;) {
    const auto models = prelabel::KnownServing(predict.profile, predict.model_name);
    if (models && predict.project->ModelVersion(*models) != predict.model_version) {
      co_return AnotherServes();
    }
    auto listing = app_.label_studio_api.TasksById(
        predict.label_studio, predict.project_id, label_studio_api::WhichTasks::kWithoutAnnotations,
        after, kPage);
    const auto tasks = co_await std::move(listing);
    if (!tasks.ok()) co_return tasks.status();
    if (tasks->empty()) break;
    // What a request works on gets its prediction from that.
    jobs::RequestClaims claims(app_.jobs.claims());
    std::vector<const label_studio::Task*> mine;
    for (const label_studio::Task& task : *tasks) {
      if (claims.Take(jobs::BackgroundJobs::KeyOf(predict, task.id))) mine.push_back(&task);
    }
    const auto added = app_.jobs.Add(predict, predict.project_id, mine, claims);
    pushed += static_cast<std::int64_t>(added.added);
    if (added.begun > 0 || mine.empty()) give_up = absl::Now() + kRoomPatience;
    if (added.begun == mine.size()) {
      after = tasks->back().id;
      continue;
    }
    // There was no room for the rest, which is asked for again.
    after = mine[added.begun]->id - 1;
    if (absl::Now() >= give_up) {
      co_return absl::ResourceExhaustedError("other background jobs left no room for its tasks");
    }
    auto pause = Pause(std::chrono::seconds(1));
    co_await std::move(pause);
  }
  co_return pushed;
}

}  // namespace gateway::endpoints
