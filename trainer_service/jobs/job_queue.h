// The trainings that were asked for: who waits, which one runs, how the others ended. All of it is
// in files before anybody is told, so that a restart goes on with it.
#ifndef DUET_TRAINER_SERVICE_JOBS_JOB_QUEUE_H_
#define DUET_TRAINER_SERVICE_JOBS_JOB_QUEUE_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "serving/clock.h"
#include "serving/metrics.h"
#include "trainer_service/jobs/job.h"
#include "trainer_service/jobs/job_folders.h"

namespace trainer_service {

inline constexpr serving::GaugeSpec kJobsWaiting{"duet_trainer_jobs_waiting",
                                                 "Trainings that wait for their turn."};

struct JobQueueOptions {
  int capacity = 16;            // jobs that wait
  int keep_jobs = 100;          // that have ended
  absl::Duration min_interval;  // between the end of a project's job and its next one of that kind
};

// Thread-safe; one thread takes jobs and works on them.
class JobQueue {
 public:
  // With what the folder holds from before. Errors of JobFolders::Load.
  static absl::StatusOr<std::unique_ptr<JobQueue>> Open(const JobQueueOptions& options,
                                                        JobFolders folders, serving::Clock& clock,
                                                        serving::Metrics& metrics);

  // For those who ask:

  // The project's job of this kind that waits or runs, or a new one; one that waits trains the
  // segmenter, too, if anybody has asked for it. ResourceExhausted if the queue is full or the
  // project's model was trained less than the minimum interval ago; Unavailable once Stop was
  // called; errors of the file system. `project` > 0.
  absl::StatusOr<Job> Submit(const JobRequest& request);
  // The job as it then is. One that runs ends soon. NotFound.
  absl::StatusOr<Job> Cancel(const std::string& id);
  // Latest first, at most `limit`. `project` 0: of all.
  std::vector<Job> List(std::uint64_t project, std::size_t limit) const;

  struct Forgotten {
    std::uint32_t jobs = 0;
    std::uint64_t bytes = 0;
  };
  // Deletes the project's jobs and the copies of its data. What stays of it are the hashes of its
  // images with the side that each is on: without, a later model might be measured with images
  // that an earlier one has learned. FailedPrecondition while one of its jobs waits or runs.
  absl::StatusOr<Forgotten> Forget(std::uint64_t project);
  // When that was done last, in milliseconds since 1970; 0: never. Survives a restart.
  std::int64_t ForgottenAt(std::uint64_t project) const;

  // Waits until the job has changed since `seen` (0: at once), and sets `seen` for the next call.
  // `gone` is asked now and then whether anybody still waits: Cancelled if not. NotFound if there
  // is no such job any more; Unavailable once Stop was called and nothing has changed.
  absl::StatusOr<Job> Watch(const std::string& id, std::uint64_t* seen,
                            const std::function<bool()>& gone) const;

  // For the one who works:

  // The next job, which then runs: those that ran before a restart first, then by number. Waits;
  // nothing once Stop was called.
  std::optional<Job> Take();
  // The job that runs has changed. `durable`: into its file first, and it is an error of the file
  // system if that fails; what others are told is the new state either way.
  absl::Status Update(const Job& job, bool durable);
  // The job that runs has ended as its state says; the oldest ended jobs go.
  void End(const Job& job);
  // Whether the job that runs shall end: it was cancelled, or the process stops.
  bool cancelled() const { return cancelled_; }
  bool stopping() const { return stopping_; }
  // Waits, until it shall end.
  void Pause(absl::Duration duration);
  const JobFolders& folders() const { return folders_; }

  // Nothing is taken any more, watchers are told, and the job that runs shall pause.
  void Stop();

 private:
  struct Entry {
    Job job;
    std::uint64_t version = 1;  // counts changes
  };

  JobQueue(const JobQueueOptions& options, JobFolders folders, serving::Clock& clock,
           serving::Metrics& metrics)
      : options_(options), clock_(clock), metrics_(metrics), folders_(std::move(folders)) {}

  // Without the deleting, which may take long.
  absl::StatusOr<Forgotten> ForgetQuickly(std::uint64_t project);
  // Into its file, and what it worked with is no longer its.
  absl::Status KeepEnd(const Job& job);
  void Delete();

  // REQUIRES of all: `mutex_` is held.
  absl::Status MayQueue(const JobRequest& request) const;
  // The request joins a job that has not ended; the job as it then is.
  absl::StatusOr<Job> Join(Entry* entry, const JobRequest& request);
  Entry* Find(const std::string& id);
  void Changed(Entry* entry, const Job& job);
  void DropOldest();
  int Waiting() const;
  // Tells those who wait, and the gauge.
  void Notify();
  std::int64_t Now() const { return absl::ToUnixMillis(clock_.Now()); }

  const JobQueueOptions options_;
  serving::Clock& clock_;
  serving::Metrics& metrics_;
  std::mutex deleting_;  // held by who deletes; before mutex_
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  JobFolders folders_;                   // written to with mutex_ held
  std::map<std::uint64_t, Entry> jobs_;  // by number; guarded by mutex_
  std::string running_;                  // guarded by mutex_
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> stopping_{false};
};

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_JOBS_JOB_QUEUE_H_
