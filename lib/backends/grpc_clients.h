// The clients that talk to real services: gRPC, over all replicas of each.
//
// The detector's replica is the least loaded; the segmenter's follows from the image id, so that
// its embedding is where it was put, and the next one takes over if that is full or gone.
#ifndef DUET_BACKENDS_GRPC_CLIENTS_H_
#define DUET_BACKENDS_GRPC_CLIENTS_H_

#include <absl/status/statusor.h>

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string_view>

#include "backends/channel.h"
#include "backends/client.h"

namespace backends {

// `targets`: host:port, several separated by commas; a name may resolve to several replicas.
// InvalidArgument if it is malformed; a service that is away is no error. A background task on
// `executor` asks for the model until the client is destroyed. REQUIRES at destruction: nobody runs
// the executor's context any more; the context still exists.
absl::StatusOr<std::unique_ptr<DetectorClient>> MakeGrpcDetector(
    boost::asio::any_io_executor executor, std::string_view targets,
    const GrpcOptions& options = {});
absl::StatusOr<std::unique_ptr<SegmenterClient>> MakeGrpcSegmenter(
    boost::asio::any_io_executor executor, std::string_view targets,
    const GrpcOptions& options = {});

}  // namespace backends

#endif  // DUET_BACKENDS_GRPC_CLIENTS_H_
