#include "trainer_service/jobs/job_queue.h"

#include <absl/random/random.h>
#include <absl/status/status.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <utility>

#include "model_store/names.h"
#include "serving/log.h"
#include "text/str_cat.h"

namespace trainer_service {
namespace {

using text::StrCat;

// How often a watcher looks whether anybody still listens to it.
constexpr absl::Duration kLook = absl::Milliseconds(500);

std::string NewId(std::uint64_t number) {
  absl::BitGen random;
  return StrCat(number, "-",
                absl::StrFormat("%06x", absl::Uniform<std::uint32_t>(random, 0, 1U << 24)));
}

absl::Status NoSuchJob(const std::string& id) {
  return absl::NotFoundError(StrCat("there is no job '", id, "'"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobQueue>> JobQueue::Open(const JobQueueOptions& options,
                                                         JobFolders folders, serving::Clock& clock,
                                                         serving::Metrics& metrics) {
  auto queue = std::unique_ptr<JobQueue>(new JobQueue(options, std::move(folders), clock, metrics));
  absl::StatusOr<std::vector<Job>> jobs = queue->folders_.Load();
  if (!jobs.ok()) return jobs.status();
  for (Job& job : *jobs) {
    if (HasEnded(job.state)) queue->folders_.RemoveWork(job.id);
    const std::uint64_t number = job.number;
    const std::string id = job.id;
    if (queue->jobs_.emplace(number, Entry{.job = std::move(job)}).second) continue;
    // Somebody has copied a folder by hand.
    serving::LogLine("job.unreadable", serving::LogLevel::kError)
        .Str("job", id)
        .Str("error", "another job has this number");
  }
  queue->DropOldest();
  queue->Delete();
  queue->Notify();
  return queue;
}

JobQueue::Entry* JobQueue::Find(const std::string& id) {
  for (auto& [number, entry] : jobs_) {
    if (entry.job.id == id) return &entry;
  }
  return nullptr;
}

int JobQueue::Waiting() const {
  return static_cast<int>(std::count_if(jobs_.begin(), jobs_.end(), [](const auto& one) {
    return one.second.job.state == JobState::kQueued;
  }));
}

void JobQueue::Notify() {
  metrics_.Get(kJobsWaiting).Set(Waiting());
  changed_.notify_all();
}

void JobQueue::Changed(Entry* entry, const Job& job) {
  entry->job = job;
  ++entry->version;
  Notify();
}

absl::Status JobQueue::MayQueue(const JobRequest& request) const {
  const int waiting = Waiting();
  std::int64_t last_end = 0;
  for (const auto& [number, entry] : jobs_) {
    // One that somebody cancelled is no reason to wait.
    const bool counts = entry.job.state == JobState::kDone || entry.job.state == JobState::kFailed;
    const bool same = entry.job.project == request.project && entry.job.kind == request.kind;
    if (counts && same) last_end = std::max(last_end, entry.job.ended_ms);
  }
  if (waiting >= options_.capacity) {
    return absl::ResourceExhaustedError(
        StrCat(waiting, " trainings wait already, as many as --queue_size allows"));
  }
  // A clock that was set back says nothing about how long ago it was.
  const absl::Duration since = absl::Milliseconds(Now() - last_end);
  if (last_end > 0 && since >= absl::ZeroDuration() && since < options_.min_interval) {
    return absl::ResourceExhaustedError(
        StrCat("the ", model_store::NameOf(request.kind), " of project ", request.project,
               " was trained ", absl::ToInt64Seconds(since), " s ago; --min_interval_s is ",
               absl::ToInt64Seconds(options_.min_interval)));
  }
  return absl::OkStatus();
}

absl::StatusOr<Job> JobQueue::Join(Entry* entry, const JobRequest& request) {
  // One that runs is its worker's.
  if (entry->job.state != JobState::kQueued || entry->job.id == running_ ||
      !request.and_segmenter || entry->job.and_segmenter) {
    return entry->job;
  }
  Job job = entry->job;
  job.and_segmenter = true;
  if (absl::Status saved = folders_.Save(job); !saved.ok()) return saved;
  Changed(entry, job);
  return job;
}

absl::StatusOr<Job> JobQueue::Submit(const JobRequest& request) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return absl::UnavailableError("the trainer is stopping");
  for (auto& [number, entry] : jobs_) {
    if (entry.job.project == request.project && entry.job.kind == request.kind &&
        !HasEnded(entry.job.state)) {
      return Join(&entry, request);
    }
  }
  if (absl::Status may = MayQueue(request); !may.ok()) return may;
  const absl::StatusOr<std::uint64_t> number = folders_.TakeNumber();
  if (!number.ok()) return number.status();
  Job job{.id = NewId(*number),
          .number = *number,
          .project = request.project,
          .kind = request.kind,
          .requested_by = request.requested_by,
          .and_segmenter = request.and_segmenter,
          .message = "waits for its turn",
          .queued_ms = Now(),
          .model = model_store::ProjectName(request.project)};
  if (absl::Status saved = folders_.Save(job); !saved.ok()) {
    (void)folders_.Remove(job.id);
    return saved;
  }
  jobs_.emplace(*number, Entry{.job = job});
  Notify();
  return job;
}

absl::StatusOr<Job> JobQueue::Cancel(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Entry* const entry = Find(id);
  if (entry == nullptr) return NoSuchJob(id);
  if (HasEnded(entry->job.state)) return entry->job;
  if (id == running_) {
    cancelled_ = true;
    Notify();
    Job job = entry->job;
    job.message = "is being cancelled";
    Changed(entry, job);
    return job;
  }
  Job job = entry->job;
  job.state = JobState::kCancelled;
  job.message = "was cancelled before it began";
  job.ended_ms = Now();
  if (absl::Status saved = folders_.Save(job); !saved.ok()) return saved;
  Changed(entry, job);
  folders_.RemoveWork(id);
  return job;
}

std::vector<Job> JobQueue::List(std::uint64_t project, std::size_t limit) const {
  const std::lock_guard lock(mutex_);
  std::vector<Job> found;
  for (auto at = jobs_.rbegin(); at != jobs_.rend() && found.size() < limit; ++at) {
    if (project == 0 || at->second.job.project == project) found.push_back(at->second.job);
  }
  return found;
}

std::int64_t JobQueue::ForgottenAt(std::uint64_t project) const {
  const std::lock_guard lock(mutex_);
  return project == 0 ? 0 : folders_.ForgottenAt(project);
}

absl::StatusOr<JobQueue::Forgotten> JobQueue::Forget(std::uint64_t project) {
  const std::lock_guard lock(deleting_);
  absl::StatusOr<Forgotten> forgotten = ForgetQuickly(project);
  // Minutes on some volumes, in which others may ask and the job that runs goes on.
  const absl::StatusOr<std::uint64_t> bytes = folders_.EmptyDeleted();
  if (!forgotten.ok()) return forgotten;
  if (!bytes.ok()) return bytes.status();
  forgotten->bytes = *bytes;
  return forgotten;
}

absl::StatusOr<JobQueue::Forgotten> JobQueue::ForgetQuickly(std::uint64_t project) {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, entry] : jobs_) {
    if (entry.job.project != project) continue;
    if (!HasEnded(entry.job.state)) {
      return absl::FailedPreconditionError(StrCat("job ", entry.job.id, " of project ", project,
                                                  " is ", NameOf(entry.job.state),
                                                  "; cancel it first"));
    }
    numbers.push_back(number);
  }
  // First: what is deleted half must not be fetched again by itself.
  if (absl::Status noted = folders_.NoteForgotten(project, Now()); !noted.ok()) return noted;
  Forgotten forgotten;
  const std::string folder = folders_.project_folder(project);
  for (const char* copies : {"/images", "/revisions"}) {
    if (absl::Status gone = folders_.Discard(folder + copies); !gone.ok()) return gone;
  }
  for (const std::uint64_t number : numbers) {
    if (absl::Status gone = folders_.Remove(jobs_.at(number).job.id); !gone.ok()) return gone;
    jobs_.erase(number);
    ++forgotten.jobs;
  }
  Notify();
  return forgotten;
}

absl::StatusOr<Job> JobQueue::Watch(const std::string& id, std::uint64_t* seen,
                                    const std::function<bool()>& gone) const {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto at = std::find_if(jobs_.begin(), jobs_.end(),
                                 [&](const auto& one) { return one.second.job.id == id; });
    if (at == jobs_.end()) return NoSuchJob(id);
    if (at->second.version != *seen) {
      *seen = at->second.version;
      return at->second.job;
    }
    if (stopping_) return absl::UnavailableError("the trainer is stopping; the job goes on later");
    if (gone()) return absl::CancelledError("nobody waits any more");
    changed_.wait_for(lock, absl::ToChronoMilliseconds(kLook));
  }
}

std::optional<Job> JobQueue::Take() {
  std::unique_lock lock(mutex_);
  Entry* next = nullptr;
  changed_.wait(lock, [&] {
    next = nullptr;
    for (auto& [number, entry] : jobs_) {
      if (HasEnded(entry.job.state)) continue;
      const bool ran = entry.job.state != JobState::kQueued;
      if (next == nullptr || (ran && next->job.state == JobState::kQueued)) next = &entry;
    }
    return stopping_ || next != nullptr;
  });
  if (stopping_) return std::nullopt;
  cancelled_ = false;
  running_ = next->job.id;
  return next->job;
}

absl::Status JobQueue::Update(const Job& job, bool durable) {
  const std::lock_guard lock(mutex_);
  Entry* const entry = Find(job.id);
  if (entry == nullptr) return NoSuchJob(job.id);
  absl::Status saved;
  if (durable) saved = folders_.Save(job);
  Changed(entry, job);
  return saved;
}

void JobQueue::End(const Job& job) {
  absl::Status saved = KeepEnd(job);
  Delete();
  if (!saved.ok()) saved = KeepEnd(job);  // of a full disk that was most
  if (!saved.ok()) {
    serving::LogLine("job.unsaved", serving::LogLevel::kError).Str("job", job.id).Status(saved);
  }
  {
    const std::lock_guard lock(mutex_);
    running_.clear();
    if (Entry* const entry = Find(job.id); entry != nullptr) Changed(entry, job);
    DropOldest();
  }
  Delete();
}

absl::Status JobQueue::KeepEnd(const Job& job) {
  const std::lock_guard lock(mutex_);
  // First its end: killed in between, a restart removes what an ended job has worked with, but
  // could do nothing with a job that compares and has lost its files.
  absl::Status saved = folders_.Save(job);
  folders_.RemoveWork(job.id);
  return saved;
}

void JobQueue::Delete() {
  const std::lock_guard lock(deleting_);
  const absl::StatusOr<std::uint64_t> deleted = folders_.EmptyDeleted();
  if (deleted.ok()) return;
  serving::LogLine("job.cleanup", serving::LogLevel::kWarning).Status(deleted.status());
}

void JobQueue::DropOldest() {
  int ended = 0;
  for (const auto& [number, entry] : jobs_) ended += HasEnded(entry.job.state) ? 1 : 0;
  for (auto at = jobs_.begin(); at != jobs_.end() && ended > options_.keep_jobs;) {
    if (!HasEnded(at->second.job.state)) {
      ++at;
      continue;
    }
    if (absl::Status gone = folders_.Remove(at->second.job.id); !gone.ok()) {
      serving::LogLine("job.cleanup", serving::LogLevel::kWarning).Status(gone);
    }
    at = jobs_.erase(at);
    --ended;
  }
}

void JobQueue::Pause(absl::Duration duration) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(duration),
                    [&] { return stopping_ || cancelled_; });
}

void JobQueue::Stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  Notify();
}

}  // namespace trainer_service
