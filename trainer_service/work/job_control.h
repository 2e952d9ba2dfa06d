// How the steps of a job tell where they are, and learn that they shall end.
#ifndef DUET_TRAINER_SERVICE_WORK_JOB_CONTROL_H_
#define DUET_TRAINER_SERVICE_WORK_JOB_CONTROL_H_

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <string>

#include "trainer_service/jobs/job.h"

namespace trainer_service {

class JobControl {
 public:
  virtual ~JobControl() = default;

  // The job as others see it, to be changed by whoever works on it.
  virtual Job& job() = 0;
  // Tells the change. `durable`: also to a restart; an error of the file system if that fails.
  virtual absl::Status Changed(bool durable) = 0;
  // Whether the job was cancelled, or shall pause because the process stops.
  virtual bool should_end() const = 0;
  // Queues another job behind this one, as JobQueue::Submit.
  virtual absl::StatusOr<Job> Submit(const JobRequest& request) = 0;
  // Waits, or until it shall end.
  virtual void Pause(absl::Duration duration) = 0;

  void Say(std::string message) {
    job().message = std::move(message);
    (void)Changed(/*durable=*/false);
  }
};

// OK, or Cancelled if the job shall end.
inline absl::Status GoOn(const JobControl& control) {
  return control.should_end() ? absl::CancelledError("the job shall end") : absl::OkStatus();
}

// Repeats what fails for a reason that may pass (Unavailable, DeadlineExceeded, Unauthenticated,
// PermissionDenied, ResourceExhausted), with growing pauses, until it has failed for `patience`, in
// which the training's steps didn't get on, and tells why it waits. Returns OK as soon as an
// attempt succeeds; else the last status, or Cancelled if the job shall end.
absl::Status RepeatWhilePassing(absl::Duration patience, JobControl& control,
                                absl::FunctionRef<absl::Status()> attempt);

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_WORK_JOB_CONTROL_H_
