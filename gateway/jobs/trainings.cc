#include "gateway/jobs/trainings.h"

#include <absl/strings/ascii.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "async/concurrency.h"
#include "gateway/jobs/metrics.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace gateway::jobs {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
namespace trainer = duet::trainer::v1;
using asio::awaitable;
using trainer::Job;

constexpr auto kCallTimeout = std::chrono::seconds(5);
constexpr std::uint32_t kListed = 100;
constexpr absl::Duration kLongestSettlePause = absl::Minutes(5);
// Files that aren't what their manifest says: over NFS they may be a moment later.
constexpr int kTriesAtDamage = 5;
// Whose annotations are counted at once.
constexpr std::size_t kMaxCounting = 100;
// What failed would fail again with the next annotation.
constexpr absl::Duration kAfterFailure = absl::Hours(1);

backends::CallOptions Soon(std::string request_id = "") {
  return {.deadline = std::chrono::system_clock::now() + kCallTimeout,
          .request_id = std::move(request_id)};
}

bool HasEnded(Job::State state) {
  return state == Job::STATE_DONE || state == Job::STATE_FAILED || state == Job::STATE_CANCELLED;
}

// "training" of STATE_TRAINING, "not_better" of OUTCOME_NOT_BETTER.
std::string Lower(const std::string& name, std::string_view prefix) {
  return absl::AsciiStrToLower(
      text::View(std::string_view(name).substr(name.starts_with(prefix) ? prefix.size() : 0)));
}
std::string NameOf(Job::State state) { return Lower(Job::State_Name(state), "STATE_"); }
std::string NameOf(trainer::Verdict::Outcome outcome) {
  return Lower(trainer::Verdict::Outcome_Name(outcome), "OUTCOME_");
}
std::string NameOfKind(trainer::ModelKind kind) {
  return std::string(model_store::NameOf(KindOf(kind)));
}

json::value TimeOf(std::int64_t milliseconds) {
  if (milliseconds == 0) return nullptr;
  return json::value(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixMillis(milliseconds),
                                      absl::UTCTimeZone()));
}

json::object ToJson(const trainer::Progress& progress) {
  json::object object = {{"step", progress.step()}, {"steps", progress.steps()}};
  if (progress.has_loss()) object["loss"] = progress.loss();
  if (progress.has_score()) object["score"] = progress.score();
  if (progress.remaining_s() > 0) object["remaining_s"] = progress.remaining_s();
  return object;
}

json::object ToJson(const trainer::Verdict& verdict) {
  json::object object = {
      {"outcome", NameOf(verdict.outcome())}, {"model", verdict.model_name()},
      {"version", verdict.version()},         {"parent", verdict.parent()},
      {"old_score", verdict.old_score()},     {"new_score", verdict.new_score()}};
  if (verdict.images_needed() > 0) object["images_needed"] = verdict.images_needed();
  return object;
}

std::uint64_t NumberOf(const std::string& project_id) {
  return label_studio_api::ProjectNumber(project_id).value_or(0);
}

std::string ShownKey(const std::string& project_id, std::int64_t created) {
  return text::StrCat(project_id, ".", created);
}

}  // namespace

Trainings::Trainings(asio::any_io_executor executor, backends::TrainerClient* trainer,
                     label_studio_api::LabelStudioApi& api, label_studio_api::LabelStudioSite site,
                     ServingWatch& serving, serving::Metrics& metrics, TrainingOptions options,
                     Hooks hooks)
    : strand_(asio::make_strand(std::move(executor))),
      trainer_(trainer),
      api_(api),
      site_(std::move(site)),
      serving_(serving),
      metrics_(metrics),
      options_(std::move(options)),
      hooks_(std::move(hooks)),
      timer_(strand_) {}

void Trainings::Begin() {
  asio::co_spawn(strand_, Follow(), [](const std::exception_ptr& error) {
    if (error) std::rethrow_exception(error);  // a bug: nothing in Follow throws
  });
}

void Trainings::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  if (enabled()) Wake();
}

void Trainings::Wake() {
  {
    const std::lock_guard lock(mutex_);
    wake_ = true;
  }
  asio::post(strand_, [this] { timer_.cancel(); });
}

awaitable<absl::StatusOr<Trainings::Jobs>> Trainings::List(std::uint64_t project_id,
                                                           std::uint32_t limit) {
  auto asking = trainer_->ListJobs(project_id, limit, Soon());
  auto listed = co_await std::move(asking);
  if (!listed.ok()) co_return listed.status();
  co_return Jobs(std::make_move_iterator(listed->mutable_jobs()->begin()),
                 std::make_move_iterator(listed->mutable_jobs()->end()));
}

awaitable<void> Trainings::Follow() {
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) co_return;
      wake_ = false;
      begun_.clear();  // what begins from now on may be missing in the list
    }
    auto listing = List(/*project_id=*/0, kListed);
    const auto jobs = co_await std::move(listing);
    metrics_.Get(kTrainerUp).Set(jobs.ok() ? 1 : 0);
    bool active = false;
    if (jobs.ok()) {
      NoteStates(*jobs);
      auto settling = Settle(*jobs);
      co_await std::move(settling);
      active = std::any_of(jobs->begin(), jobs->end(),
                           [](const Job& job) { return !HasEnded(job.state()); });
    }
    {
      const std::lock_guard lock(mutex_);
      if (reachable_ != jobs.ok()) {
        serving::LogLine(jobs.ok() ? "trainer.found" : "trainer.away",
                         jobs.ok() ? serving::LogLevel::kInfo : serving::LogLevel::kWarning)
            .Status(jobs.status());
      }
      reachable_ = jobs.ok();
    }
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) co_return;
      timer_.expires_after(wake_    ? std::chrono::milliseconds(0)
                           : active ? options_.follow
                                    : options_.idle);
    }
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

// Logs and counts what has changed since the list before. What had ended before the first list is
// no news.
void Trainings::NoteStates(const Jobs& jobs) {
  std::map<Job::State, int> counts = {{Job::STATE_QUEUED, 0},
                                      {Job::STATE_FREEZING, 0},
                                      {Job::STATE_TRAINING, 0},
                                      {Job::STATE_COMPARING, 0}};
  const std::lock_guard lock(mutex_);
  std::map<std::string, Job::State> states;
  for (const Job& job : jobs) {
    states[job.id()] = job.state();
    if (job.has_progress()) curves_.Note(job.id(), job.progress());
    if (!HasEnded(job.state())) ++counts[job.state()];
    const auto before = states_.find(job.id());
    if (before != states_.end() && before->second == job.state()) continue;
    if (!heard_ && HasEnded(job.state())) continue;
    const bool failed = job.state() == Job::STATE_FAILED;
    serving::LogLine("training.state",
                     failed ? serving::LogLevel::kWarning : serving::LogLevel::kInfo)
        .Str("job", job.id())
        .Str("project", text::StrCat(job.project_id()))
        .Str("kind", NameOfKind(job.kind()))
        .Str("state", NameOf(job.state()))
        .Str("message", job.message());
    if (!HasEnded(job.state())) continue;
    const std::string outcome =
        job.state() == Job::STATE_DONE ? NameOf(job.verdict().outcome()) : NameOf(job.state());
    metrics_.Get(kTrainingsEnded, {outcome}).Increment();
  }
  for (const auto& [state, count] : counts) {
    metrics_.Get(kTrainingJobs, {NameOf(state)}).Set(count);
  }
  states_ = std::move(states);
  jobs_ = jobs;
  for (auto job = begun_.rbegin(); job != begun_.rend(); ++job) {
    if (!states_.contains(job->id())) jobs_.insert(jobs_.begin(), *job);
  }
  heard_ = true;
}

awaitable<void> Trainings::Settle(const Jobs& jobs) {
  // The oldest first: a later job was compared with what the earlier one left.
  for (auto job = jobs.rbegin(); job != jobs.rend(); ++job) {
    if (job->state() != Job::STATE_DONE || !IsDue(job->id())) continue;
    auto applying = async::OnPool(
        serving_.files(), [this, job = *job] { return ApplyVerdict(serving_.store(), job); });
    const AppliedVerdict applied = co_await std::move(applying);
    Keep(*job, applied);
    if (applied.outcome == AppliedVerdict::Outcome::kSwapped) serving_.LookSoon();
  }
  // What the trainer no longer lists is never asked about again.
  const std::lock_guard lock(mutex_);
  const auto is_gone = [&](const std::string& id) { return !states_.contains(id); };
  std::erase_if(settled_, is_gone);
  std::erase_if(sentences_, [&](const auto& entry) { return is_gone(entry.first); });
  std::erase_if(failures_, [&](const auto& entry) { return is_gone(entry.first); });
  curves_.Forget(is_gone);
}

bool Trainings::IsDue(const std::string& job_id) const {
  const std::lock_guard lock(mutex_);
  if (settled_.contains(job_id)) return false;
  const auto failure = failures_.find(job_id);
  return failure == failures_.end() || absl::Now() >= failure->second.again;
}

// Remembers, counts and logs what became of a verdict.
void Trainings::Keep(const Job& job, const AppliedVerdict& applied) {
  using Outcome = AppliedVerdict::Outcome;
  const bool failed = applied.outcome == Outcome::kFailed;
  bool again = false;
  bool news = true;
  {
    const std::lock_guard lock(mutex_);
    Failure& failure = failures_[job.id()];
    // A volume that was away, a disk that was full, a folder that another machine doesn't see yet:
    // nothing but a name that is wrong stays so, and damage that is there again and again.
    again = failed && !absl::IsInvalidArgument(applied.status) &&
            !(absl::IsDataLoss(applied.status) && failure.tries + 1 >= kTriesAtDamage);
    if (again) {
      const double factor = static_cast<double>(1 << std::min(failure.tries, 20));
      failure.again = absl::Now() + std::min(kLongestSettlePause, options_.settle_again * factor);
      ++failure.tries;
    } else {
      settled_.insert(job.id());
      failures_.erase(job.id());
    }
    if (!applied.sentence.empty()) {
      const std::string before = std::exchange(sentences_[job.id()], applied.sentence);
      news = !failed || before != applied.sentence;  // the same failure again is none
    }
  }
  if (applied.outcome == Outcome::kKept || applied.outcome == Outcome::kDecided) return;
  const bool swapped = applied.outcome == Outcome::kSwapped;
  if (news) {
    metrics_.Get(kVerdictsApplied, {swapped  ? "swapped"
                                    : failed ? "failed"
                                             : "superseded"})
        .Increment();
  } else if (again) {
    return;
  }
  serving::LogLine(swapped ? "audit.swap" : "training.not_swapped",
                   swapped ? serving::LogLevel::kInfo : serving::LogLevel::kWarning)
      .Str("project", text::StrCat(job.project_id()))
      .Str("kind", NameOfKind(job.kind()))
      .Str("job", job.id())
      .Str("asked_by", job.requested_by())
      .Int("version", static_cast<std::int64_t>(job.verdict().version()))
      .Int("parent", static_cast<std::int64_t>(job.verdict().parent()))
      .Str("reason", job.message())
      .Str("meaning", applied.sentence)
      .Bool("again", again);
}

awaitable<absl::Status> Trainings::CheckInterval(std::string project_id, trainer::ModelKind kind) {
  auto listing = List(NumberOf(project_id), kListed);
  const auto jobs = co_await std::move(listing);
  if (!jobs.ok()) co_return jobs.status();
  const auto last = std::find_if(jobs->begin(), jobs->end(), [&](const Job& job) {
    return KindOf(job.kind()) == KindOf(kind);
  });
  if (last == jobs->end() || !HasEnded(last->state())) co_return absl::OkStatus();
  const absl::Duration since = absl::Now() - absl::FromUnixMillis(last->queued_ms());
  // A job of the future tells of a clock that was wrong, and must not keep others out.
  if (since < absl::ZeroDuration() || since >= options_.interval) co_return absl::OkStatus();
  metrics_.Get(kTrainings, {"refused"}).Increment();
  co_return absl::ResourceExhaustedError(
      text::StrCat("project ", project_id, " was trained ", absl::ToInt64Seconds(since),
                   " s ago; the next training may begin in ",
                   absl::ToInt64Seconds(absl::Ceil(options_.interval - since, absl::Seconds(1))),
                   " s (--train_interval_s)"));
}

awaitable<absl::StatusOr<json::object>> Trainings::Start(std::string project_id,
                                                         TrainedModels models, Asker asker) {
  const trainer::ModelKind kind = models == TrainedModels::kSegmenter
                                      ? trainer::MODEL_KIND_SEGMENTER
                                      : trainer::MODEL_KIND_DETECTOR;
  auto checking = CheckInterval(project_id, kind);
  const absl::Status allowed = co_await std::move(checking);
  if (!allowed.ok()) co_return allowed;
  trainer::TrainRequest request;
  request.set_project_id(NumberOf(project_id));
  request.set_kind(kind);
  request.set_and_segmenter(models == TrainedModels::kBoth);
  request.set_requested_by(asker.who);
  auto asking = trainer_->Train(std::move(request), Soon(asker.request_id));
  const auto job = co_await std::move(asking);
  serving::LogLine("audit.train", job.ok() ? serving::LogLevel::kInfo : serving::LogLevel::kWarning)
      .Str("who", asker.who)
      .Str("request_id", asker.request_id)
      .Str("project", project_id)
      .Str("kind", NameOfKind(kind))
      .Str("job", job.ok() ? job->id() : "")
      .Str("asked_first_by", job.ok() ? job->requested_by() : "")
      .Status(job.status());
  metrics_.Get(kTrainings, {job.ok() ? "started" : "refused"}).Increment();
  if (!job.ok()) co_return job.status();
  {
    // Somebody may ask for it before the next list comes.
    const std::lock_guard lock(mutex_);
    const bool listed = std::any_of(jobs_.begin(), jobs_.end(),
                                    [&](const Job& one) { return one.id() == job->id(); });
    if (!listed) jobs_.insert(jobs_.begin(), *job);
    begun_.insert(begun_.begin(), *job);
  }
  Wake();
  co_return ToJson(*job);
}

awaitable<absl::StatusOr<json::object>> Trainings::Cancel(std::string project_id, Asker asker) {
  auto listing = List(NumberOf(project_id), kListed);
  const auto jobs = co_await std::move(listing);
  if (!jobs.ok()) co_return jobs.status();
  std::optional<json::object> last;
  for (const Job& job : *jobs) {
    if (HasEnded(job.state())) continue;
    auto cancelling = trainer_->Cancel(job.id(), Soon(asker.request_id));
    const auto cancelled = co_await std::move(cancelling);
    serving::LogLine("audit.cancel")
        .Str("who", asker.who)
        .Str("request_id", asker.request_id)
        .Str("project", project_id)
        .Str("job", job.id())
        .Status(cancelled.status());
    if (!cancelled.ok()) co_return cancelled.status();
    last = ToJson(*cancelled);
  }
  Wake();
  if (last) co_return *std::move(last);
  co_return absl::NotFoundError(
      text::StrCat("no training of project ", project_id, " waits or runs"));
}

awaitable<absl::StatusOr<json::object>> Trainings::Forget(std::string project_id, Asker asker) {
  auto forgetting = trainer_->Forget(NumberOf(project_id), Soon(asker.request_id));
  const auto forgotten = co_await std::move(forgetting);
  serving::LogLine("audit.forget")
      .Str("who", asker.who)
      .Str("request_id", asker.request_id)
      .Str("project", project_id)
      .Status(forgotten.status());
  if (!forgotten.ok()) co_return forgotten.status();
  Wake();
  co_return json::object{
      {"project", project_id}, {"jobs", forgotten->jobs()}, {"bytes", forgotten->bytes()}};
}

awaitable<absl::StatusOr<json::object>> Trainings::Describe(std::string project_id,
                                                            std::optional<model_store::Kind> kind) {
  auto listing = List(NumberOf(project_id), kListed);
  const auto jobs = co_await std::move(listing);
  if (!jobs.ok()) co_return jobs.status();
  const auto last_of = [&](model_store::Kind wanted) {
    return std::find_if(jobs->begin(), jobs->end(),
                        [&](const Job& job) { return KindOf(job.kind()) == wanted; });
  };
  auto first = last_of(kind.value_or(model_store::Kind::kDetector));
  const auto segmenter = last_of(model_store::Kind::kSegmenter);
  if (!kind && first == jobs->end()) first = segmenter;
  if (first == jobs->end()) {
    co_return absl::NotFoundError(text::StrCat(
        kind ? text::StrCat("the ", model_store::NameOf(*kind), " of ") : "", "project ",
        project_id, " was never trained, or what was kept of it is forgotten"));
  }
  json::object answer = ToJson(*first);
  if (!kind && segmenter != jobs->end() && segmenter != first) {
    answer["segmenter"] = ToJson(*segmenter);
  }
  co_return answer;
}

json::array Trainings::DescribeAll(std::size_t most) const {
  Jobs jobs;
  {
    const std::lock_guard lock(mutex_);
    jobs.assign(jobs_.begin(),
                jobs_.begin() + static_cast<std::ptrdiff_t>(std::min(most, jobs_.size())));
  }
  json::array all;
  for (const Job& job : jobs) {
    json::object described = ToJson(job);
    const std::lock_guard lock(mutex_);
    described["curve"] = curves_.Of(job.id());
    all.push_back(std::move(described));
  }
  return all;
}

std::optional<json::object> Trainings::Find(std::string_view job_id) const {
  std::optional<Job> found;
  {
    const std::lock_guard lock(mutex_);
    for (const Job& job : jobs_) {
      if (job.id() == job_id) found = job;
    }
  }
  if (!found) return std::nullopt;
  return ToJson(*found);
}

bool Trainings::IsActive() const {
  const std::lock_guard lock(mutex_);
  return std::any_of(jobs_.begin(), jobs_.end(),
                     [](const Job& job) { return !HasEnded(job.state()); });
}

json::object Trainings::ToJson(const Job& job) const {
  json::object object = {{"job", job.id()},
                         {"project", text::StrCat(job.project_id())},
                         {"kind", NameOfKind(job.kind())},
                         {"state", NameOf(job.state())},
                         {"message", job.message()},
                         {"requested_by", job.requested_by()},
                         {"queued_at", TimeOf(job.queued_ms())},
                         {"started_at", TimeOf(job.started_ms())},
                         {"ended_at", TimeOf(job.ended_ms())},
                         {"images", job.images()},
                         {"annotations", job.annotations()}};
  if (!job.next_job_id().empty()) object["next"] = job.next_job_id();
  if (job.has_progress()) object["progress"] = jobs::ToJson(job.progress());
  if (!job.has_verdict()) return object;
  object["verdict"] = jobs::ToJson(job.verdict());
  const std::lock_guard lock(mutex_);
  // What serves is decided a moment after the job has ended.
  object["decided"] = settled_.contains(job.id());
  const auto sentence = sentences_.find(job.id());
  if (sentence != sentences_.end()) object["decision"] = sentence->second;
  return object;
}

void Trainings::Shown(const std::string& project_id, std::int64_t created) {
  if (!enabled() || options_.every == 0 || created == 0) return;
  if (!label_studio_api::IsProjectId(project_id)) return;
  {
    const std::lock_guard lock(mutex_);
    shown_.Insert(ShownKey(project_id, created), true, sizeof(bool));
  }
}

void Trainings::Annotated(const std::string& project_id, std::int64_t created) {
  if (!enabled() || options_.every == 0) return;
  {
    const std::lock_guard lock(mutex_);
    if (shown_.Find(ShownKey(project_id, created)) == nullptr) return;
  }
  Count(project_id, created);
}

void Trainings::Count(const std::string& project_id, std::int64_t created) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    if (const auto found = counting_.find(project_id); found != counting_.end()) {
      found->second = true;
      return;
    }
    if (counting_.size() >= kMaxCounting) return;
    counting_[project_id] = false;
  }
  asio::post(strand_, [this, project_id, created] {
    asio::co_spawn(strand_, CountAgainAndAgain(project_id, created),
                   [](const std::exception_ptr& error) {
                     if (error) std::rethrow_exception(error);  // a bug
                   });
  });
}

awaitable<void> Trainings::CountAgainAndAgain(std::string project_id, std::int64_t created) {
  asio::steady_timer debounce(strand_);
  while (true) {
    debounce.expires_after(options_.debounce);
    co_await debounce.async_wait(asio::as_tuple(asio::use_awaitable));
    {
      // What comes from now on is counted once more: this count may not see it.
      const std::lock_guard lock(mutex_);
      if (stopping_) co_return;
      counting_[project_id] = false;
    }
    auto counting = CountAnnotations(project_id, created);
    co_await std::move(counting);
    const std::lock_guard lock(mutex_);
    const auto found = counting_.find(project_id);
    if (found->second && !stopping_) continue;
    counting_.erase(found);
    co_return;
  }
}

awaitable<void> Trainings::CountAnnotations(std::string project_id, std::int64_t created) {
  auto looking = hooks_.is_own(project_id, created);
  if (!co_await std::move(looking)) co_return;
  const auto kind = trainer::MODEL_KIND_DETECTOR;
  auto listing = trainer_->ListJobs(NumberOf(project_id), kListed, Soon());
  const auto listed = co_await std::move(listing);
  if (!listed.ok()) co_return;
  // What somebody had the trainer forget must not be fetched again because of it.
  absl::Time since = listed->forgotten_ms() == 0 ? absl::InfinitePast()
                                                 : absl::FromUnixMillis(listed->forgotten_ms());
  for (const Job& job : listed->jobs()) {
    if (KindOf(job.kind()) != KindOf(kind)) continue;
    if (!HasEnded(job.state())) co_return;
    // What failed has learned from nothing, so its annotations count, but not at once.
    if (job.state() == Job::STATE_FAILED) {
      const absl::Duration since_then = absl::Now() - absl::FromUnixMillis(job.ended_ms());
      if (since_then >= absl::ZeroDuration() && since_then < kAfterFailure) co_return;
      continue;
    }
    const absl::Time queued = absl::FromUnixMillis(job.queued_ms());
    if (queued <= absl::Now()) since = std::max(since, queued);
    break;
  }
  auto counting = api_.CountAnnotated(site_, project_id, since);
  const auto count = co_await std::move(counting);
  if (!count.ok()) {
    serving::LogLine("training.not_counted", serving::LogLevel::kWarning)
        .Str("project", project_id)
        .Status(count.status());
    co_return;
  }
  if (*count < options_.every) co_return;
  Asker asker{.who = text::StrCat("annotations (", *count, " new ones)"), .request_id = ""};
  auto starting = Start(project_id, TrainedModels::kBoth, std::move(asker));
  const auto started = co_await std::move(starting);
  if (started.ok() || absl::IsResourceExhausted(started.status())) co_return;
  serving::LogLine("training.not_started", serving::LogLevel::kWarning)
      .Str("project", project_id)
      .Status(started.status());
}

}  // namespace gateway::jobs
