#include "model_service/named_models.h"

#include <absl/cleanup/cleanup.h>
#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <system_error>

#include "model_service/model_spec.h"
#include "serving/exceptions.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace model_service {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kLoadsAtOnce = 2;
constexpr absl::Duration kLongestRetryDelay = absl::Minutes(5);
// How often who waits looks whether its caller has hung up, or a model's last user has gone.
constexpr std::chrono::milliseconds kLookEvery{20};
constexpr std::size_t kNamesShown = 5;

std::string Megabytes(std::uint64_t bytes) { return absl::StrCat((bytes + (1 << 20) - 1) >> 20); }

}  // namespace

// What was read of a name.
struct NamedModels::Seen {
  bool gone = false;          // it has no folder
  std::uint64_t version = 0;  // that serving.json names
  // Absent if the version is 0, or if `status` says what is wrong.
  std::optional<Stored> stored;
  absl::Status status;
};

struct NamedModels::Entry {
  struct Loaded {
    Stored stored;
    LoadedModel model;
    std::uint64_t bytes = 0;
  };
  struct Failure {
    Stored stored;
    std::string why;
    SteadyClock::time_point at;
    absl::Duration delay;
  };

  std::string name;
  std::uint64_t stored_version = 0;  // that serving.json names
  // Absent if the default model serves. While `status` says why it isn't known: what was wanted
  // before.
  std::optional<Stored> wanted;
  absl::Status status;
  std::optional<Loaded> loaded;
  std::uint64_t loading_bytes = 0;  // 0: nothing is being loaded
  std::optional<Failure> failure;
  std::uint64_t last_used = 0;
  int waiters = 0;

  bool up_to_date() const { return loaded && wanted && loaded->stored == *wanted; }
  // Whether somebody has use for a load of what is wanted.
  bool needs_load() const {
    return wanted && status.ok() && !up_to_date() && (loaded || waiters > 0 || failed());
  }
  // Whether the last attempt to load what is wanted failed.
  bool failed() const { return failure && wanted && failure->stored == *wanted; }
  // And whether that was so short a while ago that there is no point in another one.
  bool failed_lately() const {
    return failed() && SteadyClock::now() < failure->at + absl::ToChronoNanoseconds(failure->delay);
  }
};

NamedModels::NamedModels(NamedModelsOptions options, Load load, serving::Metrics& metrics)
    : options_(std::move(options)),
      load_(std::move(load)),
      store_(options_.model_root),
      metrics_(metrics) {
  for (const char* result : {"ok", "failed"}) metrics_.Get(kModelLoads, {result});
  metrics_.Get(kModelWaitsRefused);
  metrics_.Get(kNamedModelBytes);
  Poll();
  threads_.emplace_back([this] { PollLoop(); });
  for (int i = 0; i < kLoadsAtOnce; ++i) threads_.emplace_back([this] { LoadLoop(); });
}

NamedModels::~NamedModels() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

absl::Status NamedModels::NoSuchName(const std::string& name) const {
  std::string others = absl::StrCat("'", kDefaultModel, "'");
  std::size_t shown = 0;
  for (const auto& [other, entry] : entries_) {
    if (shown == kNamesShown) break;
    absl::StrAppend(&others, ", '", other, "'");
    ++shown;
  }
  if (entries_.empty()) absl::StrAppend(&others, " only");
  if (entries_.size() > shown) absl::StrAppend(&others, " and ", entries_.size() - shown, " more");
  return absl::FailedPreconditionError(
      absl::StrCat("model.name is ", QuotedForClient(name), ", but this replica serves ", others));
}

absl::Status NamedModels::WhyNever(const Entry& entry) const {
  const std::string about = absl::StrCat("model.name is '", entry.name, "', ");
  if (!entry.status.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(about, "which can't be served: ", entry.status.message()));
  }
  if (!entry.wanted) {
    return absl::FailedPreconditionError(
        absl::StrCat(about, "which the model '", kDefaultModel, "' serves"));
  }
  if (!entry.failed_lately()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(about, "which can't be loaded: ", entry.failure->why));
}

absl::Status NamedModels::BeginWaiting(Entry& entry) {
  const int of_one = std::max(1, options_.max_waiting / 2);
  if (waiting_ >= options_.max_waiting || entry.waiters >= of_one) {
    metrics_.Get(kModelWaitsRefused).Increment();
    return absl::ResourceExhaustedError(absl::StrCat("model.name is '", entry.name,
                                                     "', which is being loaded, and ", waiting_,
                                                     " requests wait for a model already"));
  }
  ++waiting_;
  ++entry.waiters;
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<void>> NamedModels::Get(const std::string& name,
                                                       const WaitLimits& limits) {
  std::unique_lock lock(mutex_);
  std::shared_ptr<Entry> waited;  // what this call waits for, if it does
  const absl::Cleanup end_waiting = [&] {
    if (waited == nullptr) return;
    --waiting_;
    --waited->waiters;
  };
  for (;;) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return NoSuchName(name);
    Entry& entry = *found->second;
    if (entry.loaded) {
      entry.last_used = ++uses_;
      return entry.loaded->model.model;
    }
    if (absl::Status never = WhyNever(entry); !never.ok()) return never;
    if (limits.is_cancelled && limits.is_cancelled()) {
      return absl::CancelledError("the caller hung up while the model was loaded");
    }
    if (absl::Now() >= limits.deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("model.name is '", name, "', which wasn't loaded in time"));
    }
    if (waited != found->second) {
      // Not waiting yet, or for a name that was deleted and made again meanwhile.
      if (waited != nullptr) return NoSuchName(name);
      if (absl::Status refused = BeginWaiting(entry); !refused.ok()) return refused;
      waited = found->second;
    }
    if (pending_.insert(name).second) changed_.notify_all();
    changed_.wait_for(lock, kLookEvery);
  }
}

absl::StatusOr<std::vector<duet::vision::v1::ModelStatus>> NamedModels::List() const {
  using duet::vision::v1::ModelStatus;
  const std::lock_guard lock(mutex_);
  if (!unread_.ok()) return unread_;
  std::vector<ModelStatus> list;
  for (const auto& [name, entry] : entries_) {
    ModelStatus& status = list.emplace_back();
    status.set_name(name);
    status.set_state(ModelStatus::STATE_UNLOADED);
    status.set_stored_version(entry->stored_version);
    if (entry->loaded) {
      status.set_version(entry->loaded->model.version);
      status.set_loaded_version(entry->loaded->stored.version);
      status.set_memory_bytes(entry->loaded->bytes);
    }
    if (const Stored* const told = entry->loaded   ? &entry->loaded->stored
                                   : entry->wanted ? &*entry->wanted
                                                   : nullptr) {
      status.set_label_studio_url(told->label_studio_url);
      status.set_project_created(told->project_created);
    }
    if (!entry->status.ok() || entry->failed()) {
      status.set_state(ModelStatus::STATE_FAILED);
      status.set_error(entry->status.ok() ? entry->failure->why
                                          : std::string(entry->status.message()));
    }
    if (entry->loading_bytes > 0 || pending_.contains(name)) {
      status.set_state(ModelStatus::STATE_LOADING);
    } else if (entry->up_to_date() && entry->status.ok()) {
      status.set_state(ModelStatus::STATE_LOADED);
    }
  }
  return list;
}

NamedModels::Seen NamedModels::Look(const std::string& name) const {
  const absl::StatusOr<model_store::Serving> serving = store_.ReadServing(options_.kind, name);
  if (absl::IsNotFound(serving.status())) return {};
  if (!serving.ok()) return {.stored = {}, .status = serving.status()};
  const std::uint64_t version = serving->version;
  if (version == 0) return {};
  const absl::StatusOr<model_store::Manifest> manifest =
      store_.ReadManifest(options_.kind, name, version);
  if (!manifest.ok()) return {.version = version, .stored = {}, .status = manifest.status()};
  const model_store::StoredFile& weights = manifest->weights();
  return {.version = version,
          .stored = Stored{.version = version,
                           .sha256 = weights.sha256,
                           .bytes = weights.bytes,
                           .label_studio_url = manifest->label_studio_url,
                           .project_created = manifest->project_created},
          .status = {}};
}

void NamedModels::Poll() {
  const std::lock_guard polling(polling_);
  absl::StatusOr<std::vector<std::string>> names = store_.ListNames(options_.kind);
  bool any = false;
  {
    const std::lock_guard lock(mutex_);
    any = !entries_.empty();
  }
  const std::string folder =
      text::StrCat(options_.model_root, "/", model_store::NameOf(options_.kind));
  std::error_code ignored;
  if (names.ok() && names->empty() && any && !std::filesystem::exists(folder, ignored)) {
    names = absl::UnavailableError(text::StrCat(folder, ": is gone; is the volume mounted?"));
  }
  // Whatever is loaded serves on.
  const std::string error(names.status().message());
  if (error != std::exchange(last_poll_error_, error) && !names.ok()) {
    serving::LogLine("model_root.unreadable", serving::LogLevel::kError).Status(names.status());
  }
  if (!names.ok()) {
    const std::lock_guard lock(mutex_);
    if (!unread_.ok()) unread_ = absl::FailedPreconditionError(error);
    return;
  }

  std::map<std::string, Seen> seen;
  for (const std::string& name : *names) seen.emplace(name, Look(name));
  Garbage garbage;
  {
    const std::lock_guard lock(mutex_);
    unread_ = absl::OkStatus();
    std::vector<std::string> gone;
    for (const auto& [name, entry] : entries_) {
      if (!seen.contains(name)) gone.push_back(name);
    }
    for (const std::string& name : gone) Take(name, {.gone = true}, &garbage);
    for (auto& [name, one] : seen) Take(name, std::move(one), &garbage);
    metrics_.Get(kNamedModelBytes).Set(static_cast<double>(UsedBytes()));
  }
  changed_.notify_all();
  if (std::exchange(garbage, {}).empty()) return;
  malloc_trim(0);
}

void NamedModels::Take(const std::string& name, Seen seen, Garbage* garbage) {
  std::shared_ptr<Entry>& slot = entries_[name];
  if (slot == nullptr) {
    slot = std::make_shared<Entry>();
    slot->name = name;
  }
  Entry& entry = *slot;
  if (entry.status != seen.status && !seen.status.ok()) {
    serving::LogLine("model.unusable", serving::LogLevel::kError)
        .Str("served_as", name)
        .Status(seen.status);
  }
  entry.status = seen.status;
  entry.stored_version = seen.version;
  if (entry.status.ok()) {
    entry.wanted = std::move(seen.stored);
    if (!entry.wanted) {
      Drop(entry, "withdrawn", garbage);
      pending_.erase(name);
    } else if (!entry.up_to_date() && !entry.failed_lately() && (entry.loaded || entry.failed())) {
      pending_.insert(name);  // a new version, or another attempt
    }
  } else {
    pending_.erase(name);
  }
  ShowInMetrics(entry);
  if (seen.gone) entries_.erase(name);
}

void NamedModels::Drop(Entry& entry, const char* why, Garbage* garbage) {
  if (!entry.loaded) return;
  serving::LogLine("model.dropped")
      .Str("served_as", entry.name)
      .Int("stored_version", static_cast<std::int64_t>(entry.loaded->stored.version))
      .Str("version", entry.loaded->model.version)
      .Str("why", why);
  retired_.emplace_back(entry.loaded->model.model, entry.loaded->bytes);
  garbage->push_back(std::move(entry.loaded->model.model));
  entry.loaded.reset();
  ShowInMetrics(entry);
}

std::uint64_t NamedModels::UsedBytes() {
  std::erase_if(retired_, [](const auto& one) { return one.first.expired(); });
  std::uint64_t used = 0;
  for (const auto& [model, bytes] : retired_) used += bytes;
  for (const auto& [name, entry] : entries_) {
    used += entry->loading_bytes + (entry->loaded ? entry->loaded->bytes : 0);
  }
  return used;
}

absl::Status NamedModels::TooLarge(const Stored& stored, std::uint64_t bytes,
                                   std::uint64_t beside) const {
  const std::string while_serving = beside == 0
                                        ? ""
                                        : absl::StrCat(" beside the ", Megabytes(beside),
                                                       " MiB of the version that serves meanwhile");
  return absl::ResourceExhaustedError(
      absl::StrCat("version ", stored.version, " needs ", Megabytes(bytes), " MiB", while_serving,
                   ", more than --model_budget_mb=", options_.budget_bytes >> 20));
}

bool NamedModels::MakeRoom(const Entry& entry, std::uint64_t bytes, Garbage* garbage) {
  const std::uint64_t used = UsedBytes();
  if (used + bytes <= options_.budget_bytes) return true;
  // Dropping what somebody holds or waits for would free nothing, or be for nothing.
  std::vector<Entry*> idle;
  std::uint64_t idle_bytes = 0;
  for (const auto& [name, other] : entries_) {
    if (!other->loaded || other.get() == &entry || other->waiters > 0 || other->loading_bytes > 0 ||
        other->loaded->model.model.use_count() > 1) {
      continue;
    }
    idle.push_back(other.get());
    idle_bytes += other->loaded->bytes;
  }
  if (used - idle_bytes + bytes > options_.budget_bytes) return false;
  std::sort(idle.begin(), idle.end(),
            [](const Entry* a, const Entry* b) { return a->last_used < b->last_used; });
  std::uint64_t freed = 0;
  for (Entry* const other : idle) {
    if (used - freed + bytes <= options_.budget_bytes) break;
    freed += other->loaded->bytes;
    Drop(*other, "evicted", garbage);
    retired_.pop_back();  // nobody holds it: it is gone before anything is loaded
  }
  return true;
}

std::optional<NamedModels::Task> NamedModels::TakeTask(Garbage* garbage) {
  const std::set<std::string> names = pending_;  // what can't be loaded leaves pending_
  for (const std::string& name : names) {
    const std::shared_ptr<Entry> entry = entries_.contains(name) ? entries_[name] : nullptr;
    if (entry == nullptr || !entry->needs_load()) {
      pending_.erase(name);
      continue;
    }
    if (entry->loading_bytes > 0) continue;  // what was wanted before
    const Stored stored = *entry->wanted;
    const std::uint64_t bytes =
        stored.bytes - std::min(stored.bytes, options_.shareable_bytes) + options_.overhead_bytes;
    const std::uint64_t beside = entry->loaded ? entry->loaded->bytes : 0;
    if (bytes + beside > options_.budget_bytes) {
      Fail(*entry, stored, TooLarge(stored, bytes, beside));
      continue;
    }
    // For an attempt that nobody waits for, no other model goes.
    const bool idle = !entry->loaded && entry->waiters == 0;
    if (idle && UsedBytes() + bytes > options_.budget_bytes) {
      entry->failure.reset();  // the next request makes it
      pending_.erase(name);
      continue;
    }
    if (!MakeRoom(*entry, bytes, garbage)) continue;  // until a request lets its model go
    pending_.erase(name);
    entry->loading_bytes = bytes;
    return Task{entry, stored};
  }
  return std::nullopt;
}

void NamedModels::Fail(Entry& entry, const Stored& stored, const absl::Status& status) {
  const bool again = entry.failure && entry.failure->stored == stored;
  const std::string why(status.message());
  if (!again || entry.failure->why != why) {
    serving::LogLine("model.load_failed", serving::LogLevel::kError)
        .Str("served_as", entry.name)
        .Int("stored_version", static_cast<std::int64_t>(stored.version))
        .Status(status);
  }
  const absl::Duration delay =
      again ? std::min(2 * entry.failure->delay, kLongestRetryDelay) : options_.retry_delay;
  entry.failure = Entry::Failure{stored, why, SteadyClock::now(), delay};
  pending_.erase(entry.name);
  metrics_.Get(kModelLoads, {"failed"}).Increment();
  ShowInMetrics(entry);
}

void NamedModels::Finish(const Task& task, absl::StatusOr<LoadedModel> loaded, Garbage* garbage) {
  Entry& entry = *task.entry;
  const std::uint64_t admitted = std::exchange(entry.loading_bytes, 0);
  // Now it is known what it shares.
  const std::uint64_t bytes = loaded.ok() ? task.stored.bytes -
                                                std::min(task.stored.bytes, loaded->shared_bytes) +
                                                options_.overhead_bytes
                                          : admitted;
  const std::uint64_t beside = entry.loaded ? entry.loaded->bytes : 0;
  const auto found = entries_.find(entry.name);
  const bool wanted = found != entries_.end() && found->second == task.entry &&
                      entry.wanted == std::optional(task.stored);
  if (!wanted) {  // any more; whoever still waits asks for what is wanted now
    if (loaded.ok()) garbage->push_back(std::move(loaded->model));
    if (entry.waiters > 0 || entry.loaded) pending_.insert(entry.name);
  } else if (!loaded.ok()) {
    Fail(entry, task.stored, loaded.status());
  } else if (bytes > admitted && bytes + beside > options_.budget_bytes) {
    garbage->push_back(std::move(loaded->model));
    Fail(entry, task.stored, TooLarge(task.stored, bytes, beside));
  } else {
    Drop(entry, "replaced", garbage);
    const std::uint64_t all_bytes = bytes + loaded->more_bytes;
    entry.loaded = Entry::Loaded{task.stored, *std::move(loaded), all_bytes};
    entry.failure.reset();
    entry.last_used = ++uses_;
    pending_.erase(entry.name);
    metrics_.Get(kModelLoads, {"ok"}).Increment();
    ShowInMetrics(entry);
    MakeRoom(entry, 0, garbage);  // for what the estimate before the load didn't know
  }
  metrics_.Get(kNamedModelBytes).Set(static_cast<double>(UsedBytes()));
}

void NamedModels::ShowInMetrics(Entry& entry) {
  metrics_.Get(kModelStoredVersion, {entry.name}).Set(static_cast<double>(entry.stored_version));
  metrics_.Get(kModelLoadedVersion, {entry.name})
      .Set(entry.loaded ? static_cast<double>(entry.loaded->stored.version) : 0);
  metrics_.Get(kModelFailed, {entry.name}).Set(!entry.status.ok() || entry.failed() ? 1 : 0);
}

absl::StatusOr<LoadedModel> NamedModels::LoadStored(const Task& task) const {
  const std::string& name = task.entry->name;
  const absl::Time begin = absl::Now();
  const absl::StatusOr<model_store::OpenedVersion> opened =
      store_.OpenVersion(options_.kind, name, task.stored.version);
  if (!opened.ok()) return opened.status();
  if (opened->manifest().weights().sha256 != task.stored.sha256) {
    return absl::AbortedError(absl::StrCat(opened->folder(), ": was replaced while it was read"));
  }
  absl::StatusOr<LoadedModel> loaded = load_(
      {.path = opened->model_path(), .root = opened->folder(), .handle = opened->model_handle()});
  if (!loaded.ok()) return loaded.status();
  serving::LogLine("model.loaded")
      .Str("served_as", name)
      .Int("stored_version", static_cast<std::int64_t>(task.stored.version))
      .Str("version", loaded->version)
      .Num("load_ms", absl::ToDoubleMilliseconds(absl::Now() - begin));
  return loaded;
}

void NamedModels::PollLoop() {
  std::unique_lock lock(mutex_);
  // Not a point of the day: a clock that jumps back would stop this.
  const auto interval = absl::ToChronoNanoseconds(options_.poll_interval);
  while (!changed_.wait_for(lock, interval, [this] { return stopped_; })) {
    lock.unlock();
    const absl::Status thrown = serving::CatchAll("read the model root", [this] { Poll(); });
    if (!thrown.ok()) {
      serving::LogLine("model_root.unreadable", serving::LogLevel::kError).Status(thrown);
    }
    lock.lock();
  }
}

void NamedModels::LoadLoop() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    Garbage garbage;
    const std::optional<Task> task = TakeTask(&garbage);
    if (!task) {
      // Requests are still running with what takes the memory, or there is nothing to do.
      if (pending_.empty()) {
        changed_.wait(lock);
      } else {
        changed_.wait_for(lock, kLookEvery);
      }
      continue;
    }
    lock.unlock();
    garbage.clear();
    absl::StatusOr<LoadedModel> loaded =
        serving::CatchAll("load a model", [&] { return LoadStored(*task); });
    lock.lock();
    Finish(*task, std::move(loaded), &garbage);
    changed_.notify_all();
    lock.unlock();
    garbage.clear();
    malloc_trim(0);
    lock.lock();
  }
}

}  // namespace model_service
