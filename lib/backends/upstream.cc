#include "backends/upstream.h"

#include <absl/random/random.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <exception>
#include <map>
#include <utility>
#include <vector>

#include "backends/served_version.h"
#include "backends/tls_diagnosis.h"
#include "serving/log.h"

namespace backends {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr double kFullBudget = 10;
// Ten successes pay for one repetition.
constexpr double kEarned = 0.1;
// About 100 + 200 + 400 ms for a call that somebody waits for; a patient one rides out a restart.
constexpr int kRounds = 4;
constexpr int kPatientRounds = 10;
// What serves under a name changes by a file, of which nobody tells the gateway but the replicas.
constexpr auto kRefresh = milliseconds(1000);
// While something is known to change.
constexpr auto kOften = milliseconds(100);
constexpr auto kOftenLasts = std::chrono::seconds(5);
// Between two polls, however many calls want one.
constexpr auto kMinimumPause = milliseconds(20);
constexpr auto kModelTimeout = std::chrono::seconds(2);
// For names to be looked up before replicas are asked.
constexpr auto kResolvePatience = milliseconds(200);

milliseconds PauseLength(int round) {
  return milliseconds(std::min(1000, 100 << std::min(round, 4)));
}

}  // namespace

BackendHealth Upstream::health() const {
  const std::lock_guard lock(mutex_);
  BackendHealth health{.replicas = replicas_->size(), .reachable = reachable_, .error = error_};
  for (const auto& replica : replicas_->All()) {
    const Replica::Versions versions = replica->versions();
    if (versions.empty()) continue;
    if (const auto found = versions.find(kDefaultModel); found != versions.end()) {
      ++health.versions[found->second];
    }
    if (auto names = replica->names(); !names.empty()) {
      health.names[replica->address] = std::move(names);
    }
  }
  return health;
}

bool Upstream::MayRepeat(const absl::Status& status, int round, const CallOptions& options) {
  if (system_clock::now() + PauseLength(round) >= options.deadline) return false;
  if (absl::IsResourceExhausted(status)) return options.patient();
  if (round + 1 >= (options.patient() ? kPatientRounds : kRounds)) return false;
  const std::lock_guard lock(mutex_);
  if (repeat_budget_ < 1) return false;
  repeat_budget_ -= 1;
  return true;
}

asio::awaitable<void> Upstream::Pause(int round, const CallOptions&) {
  thread_local absl::InsecureBitGen random;
  const double jitter = absl::Uniform(random, 0.5, 1.0);
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(std::chrono::duration_cast<milliseconds>(PauseLength(round) * jitter));
  co_await timer.async_wait(asio::use_awaitable);
}

void Upstream::OnSuccess() {
  const std::lock_guard lock(mutex_);
  repeat_budget_ = std::min(kFullBudget, repeat_budget_ + kEarned);
}

absl::Status Upstream::ToStatus(const absl::Status& status, const std::string& address) const {
  std::string tls_error;
  {
    const std::lock_guard lock(mutex_);
    if (address == tls_error_at_) tls_error = tls_error_;
  }
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return {status.code(),
              absl::StrCat("the ", service_, " at ", address, " is away: ",
                           tls_error.empty() ? status.message() : absl::string_view(tls_error))};
    case absl::StatusCode::kResourceExhausted:
      return {status.code(), absl::StrCat("the ", service_, " is busy: ", status.message())};
    case absl::StatusCode::kDeadlineExceeded:
      return {status.code(), absl::StrCat("the ", service_, " did not answer in time")};
    default:
      return {status.code(), absl::StrCat("the ", service_, " says: ", status.message())};
  }
}

absl::Status Upstream::VersionIsGone(const ModelChoice& model) const {
  return absl::AbortedError(absl::StrCat("no ", service_, " serves version ", model.version,
                                         model.name == kDefaultModel ? "" : " of " + model.name,
                                         " any more"));
}

bool Upstream::HasMovedFrom(const ModelChoice& model) const {
  const std::lock_guard lock(mutex_);
  const auto found = announced_.find(model.name);
  return found == announced_.end() || found->second != model.version;
}

ReplicaSet::Replicas Upstream::Candidates(const std::string& key, const CallOptions& options) {
  const ModelChoice model = {options.model, options.version};
  if (key.empty()) return replicas_->ByLoad(model);
  ReplicaSet::Replicas candidates = replicas_->ByKey(key, model);
  const std::string address = detours_.Find(key);
  const auto detour = std::find_if(candidates.begin(), candidates.end(), [&](const auto& replica) {
    return replica->address == address && !replica->IsDown() && !replica->ServesOther(model);
  });
  if (detour != candidates.end()) std::rotate(candidates.begin(), detour, detour + 1);
  return candidates;
}

asio::awaitable<void> Upstream::Diagnose(PollResult& result) {
  const Replica& replica = *result.away;
  std::string found;
  if (replica.channel->GetState(/*try_to_connect=*/false) != GRPC_CHANNEL_READY) {
    try {
      auto pending = DiagnoseTls(replica.address, replica.host, replicas_->options());
      found = co_await std::move(pending);
    } catch (const std::exception&) {
      // It is only to say more: what gRPC said stays.
    }
  }
  if (!found.empty()) {
    result.error = absl::UnavailableError(
        absl::StrCat("the ", service_, " at ", replica.address, " is away: ", found));
  }
  const std::lock_guard lock(mutex_);
  tls_error_ = std::move(found);
  tls_error_at_ = replica.address;
}

void Upstream::Record(const PollResult& result) {
  const std::lock_guard lock(mutex_);
  reachable_ = result.any_answered;
  error_ = std::string(result.error.message());
  if (result.error.ok()) tls_error_.clear();
  // gRPC words one state in many ways, and a service may be away for a night. Where others answer,
  // it matters which one is away.
  std::string state = absl::StrCat(reachable_, " ", absl::StatusCodeToString(result.error.code()),
                                   " ", reachable_ && result.away ? result.away->address : "",
                                   absl::IsUnavailable(result.error) ? tls_error_ : "");
  const bool news = state != logged_;
  logged_ = std::move(state);
  if (!news) return;
  serving::LogLine line(result.error.ok() ? "backend.found" : "backend.away",
                        result.error.ok() ? serving::LogLevel::kInfo : serving::LogLevel::kWarning);
  line.Str("service", service_).Str("targets", replicas_->targets());
  if (result.error.ok()) return;
  line.Status(result.error);
  if (result.any_answered) line.Str("instead", "other replicas answer");
}

void Upstream::PollNow() {
  const std::lock_guard lock(mutex_);
  poll_now_ = true;
  if (poll_timer_ == nullptr) return;
  // A timer is no thread's but its strand's.
  asio::post(poll_timer_->get_executor(),
             [timer = poll_timer_] { timer->expires_at(timer->expiry().min()); });
}

void Upstream::LookSoon() {
  {
    const std::lock_guard lock(mutex_);
    often_until_ = std::chrono::steady_clock::now() + kOftenLasts;
  }
  PollNow();
}

ModelAnnouncement Upstream::Choose(const ReplicaSet::Replicas& replicas) {
  std::map<std::string, std::vector<std::string>> served;
  ModelAnnouncement chosen;
  for (const auto& replica : replicas) {
    Replica::Offer offer = replica->offer();
    for (auto& [name, version] : offer.versions) served[name].push_back(std::move(version));
    chosen.unknown.merge(offer.unknown);
    chosen.has_all_names = chosen.has_all_names || offer.has_told_names;
  }
  const std::lock_guard lock(mutex_);
  if (const auto found = announced_.find(kDefaultModel); found != announced_.end()) {
    chosen.versions.insert(*found);
  }
  for (const auto& [name, versions] : served) {
    const auto before = announced_.find(name);
    chosen.versions[name] =
        ChooseVersion(before == announced_.end() ? "" : before->second, versions);
    chosen.unknown.erase(name);
  }
  return chosen;
}

asio::awaitable<Upstream::PollResult> Upstream::Poll(const GetOffer& get_offer,
                                                     const Announce& announce) {
  const auto strand = co_await asio::this_coro::executor;
  const CallOptions options{.deadline = system_clock::now() + kModelTimeout};
  const ReplicaSet::Replicas replicas = replicas_->All();
  std::vector<absl::Status> statuses(replicas.size());
  PollResult result;
  std::size_t asked = replicas.size();
  asio::steady_timer all_have_answered(strand, asio::steady_timer::time_point::max());
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    asio::co_spawn(strand, get_offer(replicas[i], options),
                   [&, i](std::exception_ptr, absl::StatusOr<ModelOffer> offer) {
                     statuses[i] = offer.status();
                     if (offer.ok() && offer->has_told_names) {
                       result.loading = result.loading || offer->ask_again ||
                                        std::any_of(offer->names.begin(), offer->names.end(),
                                                    [](const auto& name) { return name.loading; });
                       replicas[i]->set_versions(std::move(offer->versions),
                                                 std::move(offer->names));
                     } else if (offer.ok() || absl::IsDeadlineExceeded(offer.status())) {
                       // One that is too busy to say serves what it did before.
                       if (offer.ok())
                         replicas[i]->set_default_version(offer->versions.at(kDefaultModel));
                     } else {
                       replicas[i]->set_versions({});
                     }
                     if (--asked == 0) all_have_answered.cancel();
                   });
  }
  // On one strand: nothing can have come in between.
  if (asked > 0) co_await all_have_answered.async_wait(asio::as_tuple(asio::use_awaitable));
  for (const absl::Status& status : statuses) {
    result.any_answered = result.any_answered || status.ok();
  }
  for (std::size_t i = 0; i < replicas.size() && !result.away; ++i) {
    const bool busy = absl::IsDeadlineExceeded(statuses[i]);
    if (statuses[i].ok() || (busy && result.any_answered)) continue;
    result.error = ToStatus(statuses[i], replicas[i]->address);
    result.away = replicas[i];
  }
  if (replicas.empty()) result.error = absl::UnavailableError("no address is known");
  if (result.any_answered) {
    const ModelAnnouncement chosen = Choose(replicas);
    result.loading = result.loading || !chosen.has_all_names;
    announce(chosen);  // before calls can find out that it has moved
    const std::lock_guard lock(mutex_);
    announced_ = chosen.versions;
  }
  co_return result;
}

milliseconds Upstream::PauseAfter(const PollResult& result, milliseconds retry) const {
  if (!result.any_answered) return retry;
  const bool often = result.loading || std::chrono::steady_clock::now() < often_until_;
  return often ? kOften : kRefresh;
}

asio::awaitable<void> Upstream::PollForever(asio::any_io_executor strand, GetOffer get_offer,
                                            Announce announce) {
  asio::steady_timer minimum_pause(strand);
  const auto timer = std::make_shared<asio::steady_timer>(strand);
  {
    const std::lock_guard lock(mutex_);
    poll_timer_ = timer;
  }
  milliseconds retry(100);
  bool resolving = false;
  bool late = false;
  asio::steady_timer until_resolved(strand);
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      poll_now_ = false;  // what is found out from now on is news
    }
    // A name server may hang for longer than a call can wait, and the known replicas don't need it.
    if (!resolving) {
      resolving = true;
      late = false;
      until_resolved.expires_after(kResolvePatience);
      asio::co_spawn(strand, replicas_->Resolve(),
                     [&, known = replicas_->All()](std::exception_ptr) {
                       resolving = false;
                       until_resolved.cancel();
                       if (late && replicas_->All() != known) PollNow();
                     });
      if (resolving) co_await until_resolved.async_wait(asio::as_tuple(asio::use_awaitable));
      late = resolving;
    }
    auto polling = Poll(get_offer, announce);
    PollResult result = co_await std::move(polling);
    // While others answer, the next poll doesn't wait for a diagnosis that plaintext doesn't need.
    if (result.away && absl::IsUnavailable(result.error) &&
        (!result.any_answered || replicas_->options().tls)) {
      auto diagnosing = Diagnose(result);
      co_await std::move(diagnosing);
    }
    Record(result);
    retry = result.any_answered ? milliseconds(100)
                                : std::min<milliseconds>(retry * 2, std::chrono::seconds(2));
    minimum_pause.expires_after(kMinimumPause);
    co_await minimum_pause.async_wait(asio::use_awaitable);
    bool at_once = false;
    {
      const std::lock_guard lock(mutex_);
      at_once = poll_now_;
      if (!at_once) timer->expires_after(PauseAfter(result, retry));
    }
    if (!at_once) co_await timer->async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

}  // namespace backends
