// duet.trainer.v1.Trainer: translates between the wire and the queue.
#ifndef DUET_TRAINER_SERVICE_RPC_TRAINER_SERVICE_H_
#define DUET_TRAINER_SERVICE_RPC_TRAINER_SERVICE_H_

#include <atomic>

#include "duet/trainer/v1/trainer.grpc.pb.h"
#include "trainer_service/jobs/job_queue.h"

namespace trainer_service {

// As the wire has it.
duet::trainer::v1::Job ToProto(const Job& job);

class TrainerService final : public duet::trainer::v1::Trainer::Service {
 public:
  // Each stream of Train keeps a thread while its job waits or runs; the other calls need some,
  // too.
  static constexpr int kMostStreams = 64;

  // `queue` must outlive it. `segmenters`: whether it has one to begin their trainings from.
  TrainerService(JobQueue* queue, bool segmenters) : queue_(*queue), segmenters_(segmenters) {}

  grpc::Status Train(grpc::ServerContext* call, const duet::trainer::v1::TrainRequest* request,
                     grpc::ServerWriter<duet::trainer::v1::Job>* stream) override;
  grpc::Status Cancel(grpc::ServerContext* call, const duet::trainer::v1::CancelRequest* request,
                      duet::trainer::v1::Job* response) override;
  grpc::Status ListJobs(grpc::ServerContext* call,
                        const duet::trainer::v1::ListJobsRequest* request,
                        duet::trainer::v1::ListJobsResponse* response) override;
  grpc::Status Forget(grpc::ServerContext* call, const duet::trainer::v1::ForgetRequest* request,
                      duet::trainer::v1::ForgetResponse* response) override;

 private:
  absl::Status Check(const duet::trainer::v1::TrainRequest& request) const;
  absl::Status Stream(const Job& job, grpc::ServerContext* call,
                      grpc::ServerWriter<duet::trainer::v1::Job>* stream);

  JobQueue& queue_;
  const bool segmenters_;
  std::atomic<int> streams_{0};
};

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_RPC_TRAINER_SERVICE_H_
