#include "backends/replica_caller.h"

#include <string>

namespace backends {

void ReplicaCaller::Prepare(grpc::ClientContext& context, const CallOptions& options) {
  context.set_deadline(options.deadline);
  if (!options.request_id.empty()) context.AddMetadata("x-request-id", options.request_id);
  if (!options.traceparent.empty()) context.AddMetadata("traceparent", options.traceparent);
  if (options.task_id != 0) context.AddMetadata("x-task-id", std::to_string(options.task_id));
}

}  // namespace backends
