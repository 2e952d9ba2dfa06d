#include "backends/unary_caller.h"

namespace backends {

void UnaryCaller::Prepare(grpc::ClientContext& context, const CallOptions& options) {
  context.set_deadline(options.deadline);
  if (!options.request_id.empty()) context.AddMetadata("x-request-id", options.request_id);
  if (!options.traceparent.empty()) context.AddMetadata("traceparent", options.traceparent);
}

}  // namespace backends
