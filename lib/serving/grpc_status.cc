#include "serving/grpc_status.h"

#include <string>

#include "text/utf8.h"

namespace serving {

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.raw_code()),
          text::ToUtf8({status.message().data(), status.message().size()})};
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return {static_cast<absl::StatusCode>(status.error_code()), text::ToUtf8(status.error_message())};
}

}  // namespace serving
