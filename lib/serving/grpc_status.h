// absl::Status across the wire: the codes are the same numbers. Messages are made valid UTF-8, as
// clients of other languages decode them strictly.
#ifndef DUET_SERVING_GRPC_STATUS_H_
#define DUET_SERVING_GRPC_STATUS_H_

#include <absl/status/status.h>
#include <grpcpp/support/status.h>

namespace serving {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace serving

#endif  // DUET_SERVING_GRPC_STATUS_H_
