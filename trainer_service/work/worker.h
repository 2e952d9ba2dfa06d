// The thread that works on jobs, one after the other.
#ifndef DUET_TRAINER_SERVICE_WORK_WORKER_H_
#define DUET_TRAINER_SERVICE_WORK_WORKER_H_

#include <absl/status/status.h>

#include <functional>
#include <thread>

#include "serving/clock.h"
#include "serving/metrics.h"
#include "trainer_service/jobs/job_queue.h"
#include "trainer_service/work/job_control.h"

namespace trainer_service {

inline constexpr serving::CounterSpec kJobsEnded{
    "duet_trainer_jobs_total",
    "Trainings that ended; end: better, not_better, undecided (what the comparison said), failed, "
    "cancelled.",
    "end"};
inline constexpr serving::GaugeSpec kJobRunning{"duet_trainer_job_running",
                                                "1 while a training runs, else 0."};
inline constexpr double kJobSecondBuckets[] = {10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400};
inline constexpr serving::HistogramSpec kJobSeconds{
    "duet_trainer_job_seconds", "From a training's start to its end, interruptions included.", "",
    kJobSecondBuckets};

class Worker {
 public:
  // From where the job is to its verdict, as Pipeline::Run.
  using Run = std::function<absl::Status(JobControl&)>;

  // All must outlive it.
  Worker(JobQueue& queue, Run run, serving::Clock& clock, serving::Metrics& metrics);
  // REQUIRES: JobQueue::Stop was called.
  ~Worker() { thread_.join(); }

 private:
  void Work();
  void WorkOn(Job job);
  void End(const absl::Status& status, Job job);

  JobQueue& queue_;
  const Run run_;
  serving::Clock& clock_;
  serving::Metrics& metrics_;
  std::thread thread_;  // last
};

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_WORK_WORKER_H_
