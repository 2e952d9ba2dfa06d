// The work folder of a trainer: what its jobs are and what they work with, so that a restart goes
// on with what ran.
//
//   WORK/lock                   held while a process works here
//   WORK/next                   the number of the next job
//   WORK/jobs/ID/job.json       a job, replaced as a whole whenever it has changed
//   WORK/jobs/ID/…              what it works with (work/); gone when it has ended
//   WORK/projects/7/            the frozen data of a project (dataset/revision.h)
//   WORK/deleted/…              what is about to be deleted
#ifndef DUET_TRAINER_SERVICE_JOBS_JOB_FOLDERS_H_
#define DUET_TRAINER_SERVICE_JOBS_JOB_FOLDERS_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "trainer_service/jobs/job.h"

namespace trainer_service {

// For one thread at a time.
class JobFolders {
 public:
  // Makes the folder if there is none, and takes it for this process until the object is gone.
  // FailedPrecondition if another process works in it; else the system's error, with the path.
  static absl::StatusOr<JobFolders> Open(const std::string& path);

  JobFolders(JobFolders&& other) noexcept;
  JobFolders& operator=(JobFolders&&) = delete;
  ~JobFolders();

  // All jobs, by number. What killed processes left half written is removed, and so is a folder
  // without a record: a job that was told to nobody. A record that can't be read is a job that has
  // failed, with the reason.
  absl::StatusOr<std::vector<Job>> Load();

  // The number of a new job; no other one gets it.
  absl::StatusOr<std::uint64_t> TakeNumber();
  absl::Status Save(const Job& job);
  // Removes a job with all that it worked with.
  absl::Status Remove(const std::string& id);
  // Removes what a job worked with, but for its record. What can't be removed is logged.
  void RemoveWork(const std::string& id);
  // Removes a file or folder below WORK, if there is one.
  absl::Status Discard(const std::string& path);

  // The three above only rename, since deleting may take minutes; this deletes, and returns how
  // many bytes that gave back. For one thread at a time, beside one that calls the others.
  // An error of the file system if something stays; the others are gone all the same.
  absl::StatusOr<std::uint64_t> EmptyDeleted() const;

  // Remembers that a project's copies are deleted now; survives it. Milliseconds since 1970; 0:
  // never.
  absl::Status NoteForgotten(std::uint64_t project, std::int64_t now_ms);
  std::int64_t ForgottenAt(std::uint64_t project) const;

  std::string job_folder(const std::string& id) const { return path_ + "/jobs/" + id; }
  std::string project_folder(std::uint64_t project) const;

 private:
  JobFolders(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  std::string path_;
  int lock_;  // a descriptor
  std::uint64_t discarded_ = 0;
};

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_JOBS_JOB_FOLDERS_H_
