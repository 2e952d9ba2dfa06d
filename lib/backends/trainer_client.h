// The trainer as the gateway sees it (proto/duet/trainer/v1/trainer.proto): an interface, so that
// callers can be tested without gRPC.
//
// All calls are coroutines on the caller's executor, and end by their deadline. Errors are the
// trainer's own codes, with a sentence that names the trainer.
#ifndef DUET_BACKENDS_TRAINER_CLIENT_H_
#define DUET_BACKENDS_TRAINER_CLIENT_H_

#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "backends/channel.h"
#include "backends/client.h"
#include "duet/trainer/v1/trainer.pb.h"

namespace backends {

class TrainerClient {
 public:
  virtual ~TrainerClient() = default;

  // Queues a training, or joins the one of the project that is queued or running; the job as it is
  // then. It goes on whether or not anybody looks.
  virtual boost::asio::awaitable<absl::StatusOr<duet::trainer::v1::Job>> Train(
      duet::trainer::v1::TrainRequest request, CallOptions options) = 0;
  virtual boost::asio::awaitable<absl::StatusOr<duet::trainer::v1::Job>> Cancel(
      std::string job_id, CallOptions options) = 0;
  // Latest first; of all projects for project 0.
  virtual boost::asio::awaitable<absl::StatusOr<duet::trainer::v1::ListJobsResponse>> ListJobs(
      std::uint64_t project_id, std::uint32_t limit, CallOptions options) = 0;
  virtual boost::asio::awaitable<absl::StatusOr<duet::trainer::v1::ForgetResponse>> Forget(
      std::uint64_t project_id, CallOptions options) = 0;
};

// `target`: one host:port; InvalidArgument if it is malformed, a trainer that is away is no error.
// REQUIRES at destruction: nobody runs the executors of its calls any more.
absl::StatusOr<std::unique_ptr<TrainerClient>> MakeGrpcTrainer(std::string_view target,
                                                               const GrpcOptions& options = {});

}  // namespace backends

#endif  // DUET_BACKENDS_TRAINER_CLIENT_H_
