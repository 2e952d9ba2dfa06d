// absl::Status across the wire: the codes are the same numbers.
#ifndef DUET_SERVING_GRPC_STATUS_H_
#define DUET_SERVING_GRPC_STATUS_H_

#include <absl/status/status.h>
#include <grpcpp/support/status.h>

namespace serving {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace serving

#endif  // DUET_SERVING_GRPC_STATUS_H_
