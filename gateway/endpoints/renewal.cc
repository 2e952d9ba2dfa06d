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

// The profile that the address of an ML backend chooses; null: it isn't this gateway's.
const prelabel::Profile* ProfileAt(const prelabel::Profiles& profiles, const std::string& url) {
  const auto parsed = boost::urls::parse_uri(url);
  if (!parsed) return nullptr;
  const std::string path = parsed->path();
  return profiles.ForPrefix(text::WithoutTrailingSlashes(path));
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
      if (!prelabel::HasModel(profile, name)) continue;
      heard = true;
      follow = follow && Follows(HealthOf(profile, swap.kind), name, swap.version);
    }
    if (heard && follow) co_return absl::OkStatus();
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
  auto asking = app_.label_studio_api.Backends(
      label_studio_api::ChooseSite(app_.options.label_studio, {}), swap.project_id);
  const auto urls = co_await std::move(asking);
  if (!urls.ok()) co_return urls.status();
  std::set<const prelabel::Profile*> profiles;
  for (const std::string& url : *urls) {
    if (const prelabel::Profile* profile = ProfileAt(app_.profiles, url)) profiles.insert(profile);
  }
  for (const prelabel::Profile* profile : profiles) {
    auto renewing = RenewWith(*profile, swap);
    if (absl::Status status = co_await std::move(renewing); !status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

awaitable<absl::Status> Renewal::RenewWith(const prelabel::Profile& profile, jobs::Swap swap) {
  const label_studio_api::LabelStudioSite site =
      label_studio_api::ChooseSite(app_.options.label_studio, {});
  auto asking = app_.label_studio_api.Project(site, swap.project_id);
  const auto info = co_await std::move(asking);
  if (!info.ok()) co_return info.status();
  auto resolving = app_.ResolveSetup(profile, swap.project_id, info->created);
  const Application::ResolvedSetup setup = co_await std::move(resolving);
  if (setup.settings.background != prelabel::Background::kPush) co_return absl::OkStatus();
  auto finding = app_.projects.Get(app_.pool, info->label_config, setup.settings);
  const auto project = co_await std::move(finding);
  if (!project.ok()) co_return project.status();
  auto serving = app_.AwaitServing(profile, setup.model_name, std::chrono::seconds(30));
  const auto models = co_await std::move(serving);
  if (!models) co_return absl::UnavailableError("the models have not been heard of yet");

  serving::RequestContext request;
  request.NoteStr("project", swap.project_id);
  prelabel::PredictContext predict{.profile = profile,
                                   .project = *project,
                                   .project_id = swap.project_id,
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
    auto listing = app_.label_studio_api.TasksWithoutAnnotations(predict.label_studio,
                                                                 predict.project_id, after, kPage);
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
    if (added.added > 0 || mine.empty()) give_up = absl::Now() + kRoomPatience;
    if (added.added == mine.size()) {
      after = tasks->back().id;
      continue;
    }
    // There was no room for the rest: the page is asked for again, and what is in work is claimed.
    if (absl::Now() >= give_up) {
      co_return absl::ResourceExhaustedError("other background jobs left no room for its tasks");
    }
    auto pause = Pause(std::chrono::seconds(1));
    co_await std::move(pause);
  }
  co_return pushed;
}

}  // namespace gateway::endpoints
