// What surrounds every RPC of ours, on the server's side. It gets a RequestContext with a span that
// is part of its caller's trace (tracing/span.h), and when it is over one log line ("rpc.done":
// method, code, ms, request_id, task_id if the caller named a task, the handler's notes) and its
// metrics (kRpc… in serving/metrics.h). Health checks and reflection get none of these. GetModel
// and ListModels, which gateways poll without an id, have no span then, and their line at the level
// "debug", unless they fail.
#ifndef DUET_SERVING_RPC_INTERCEPTOR_H_
#define DUET_SERVING_RPC_INTERCEPTOR_H_

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_interceptor.h>

#include <memory>

#include "serving/metrics.h"
#include "serving/request_context.h"

namespace serving {

// The header that names the task of Label Studio's which a call is for: a whole number.
inline constexpr char kTaskIdHeader[] = "x-task-id";

// The context of a running RPC, for its handler. For an RPC that no interceptor knows (a handler
// called directly by a unit test) it is made from the call's metadata, and nothing is logged. Never
// null. Thread-safe.
std::shared_ptr<RequestContext> RequestContextOf(const grpc::ServerContextBase& call);

// Client's side: sends the ids of `request` with a call.
void SendRequestContext(const RequestContext& request, grpc::ClientContext* call);

// `metrics` must outlive the server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeRpcInterceptors(
    Metrics* metrics);

}  // namespace serving

#endif  // DUET_SERVING_RPC_INTERCEPTOR_H_
