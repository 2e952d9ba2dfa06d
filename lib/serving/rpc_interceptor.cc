#include "serving/rpc_interceptor.h"

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/time/clock.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "serving/grpc_status.h"
#include "serving/log.h"
#include "serving/request_span.h"
#include "text/str_cat.h"
#include "tracing/span.h"

namespace serving {
namespace {

using grpc::experimental::InterceptionHookPoints;

// Finds the context of a running call by the call's address, the one thing that gRPC gives both to
// interceptors and to handlers.
class RunningCalls {
 public:
  static RunningCalls& Get() {
    static RunningCalls* const calls = new RunningCalls;
    return *calls;
  }

  void Add(const grpc::ServerContextBase* call, std::shared_ptr<RequestContext> request) {
    std::lock_guard lock(mutex_);
    requests_[call] = std::move(request);
  }

  void Remove(const grpc::ServerContextBase* call) {
    std::lock_guard lock(mutex_);
    requests_.erase(call);
  }

  std::shared_ptr<RequestContext> Find(const grpc::ServerContextBase* call) {
    std::lock_guard lock(mutex_);
    const auto found = requests_.find(call);
    return found == requests_.end() ? nullptr : found->second;
  }

 private:
  std::mutex mutex_;
  absl::flat_hash_map<const grpc::ServerContextBase*, std::shared_ptr<RequestContext>> requests_;
};

using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

// Every gateway asks every few seconds, without an id: not worth a line each time.
bool IsPoll(std::string_view method, bool has_callers_id) {
  return (method.ends_with("/GetModel") || method.ends_with("/ListModels")) && !has_callers_id;
}

LogLevel LevelOf(const absl::Status& status, bool is_poll) {
  if (absl::IsInternal(status) || absl::IsUnknown(status)) return LogLevel::kError;
  return status.ok() && is_poll ? LogLevel::kDebug : LogLevel::kInfo;
}

std::string_view ValueOf(const Metadata& metadata, const char* name) {
  const auto found = metadata.find(name);
  if (found == metadata.end()) return {};
  return {found->second.data(), found->second.size()};
}

// Failures of the server, by OpenTelemetry's conventions: what else a caller is told is its own
// doing, or was to be expected.
bool IsServersFault(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

std::shared_ptr<RequestContext> FromMetadata(const Metadata& metadata,
                                             std::string_view traceparent) {
  auto request = std::make_shared<RequestContext>(ValueOf(metadata, kRequestIdHeader), traceparent);
  std::int64_t task = 0;
  if (absl::SimpleAtoi(text::View(ValueOf(metadata, kTaskIdHeader)), &task)) {
    request->NoteInt("task_id", task);
  }
  return request;
}

class RpcInterceptor final : public grpc::experimental::Interceptor {
 public:
  RpcInterceptor(grpc::experimental::ServerRpcInfo* info, Metrics* metrics)
      : call_(info->server_context()),
        method_(info->method()),
        metrics_(metrics),
        start_(absl::Now()) {
    metrics_->Get(kRpcInFlight, {method_}).Increment();
  }

  // gRPC destroys interceptors with the call, after the handler.
  ~RpcInterceptor() override {
    RunningCalls::Get().Remove(call_);
    const absl::Duration took = absl::Now() - start_;
    metrics_->Get(kRpcInFlight, {method_}).Decrement();
    metrics_->Get(kRpcSeconds, {method_}).Observe(absl::ToDoubleSeconds(took));
    metrics_->Get(kRpcRequests, {method_, absl::StatusCodeToString(status_.code())}).Increment();
    LogLine line("rpc.done", LevelOf(status_, IsPoll(method_, has_callers_id_)));
    line.Str("method", method_);
    if (request_ != nullptr) line.Request(*request_);
    line.Status(status_).Num("ms", absl::ToDoubleMilliseconds(took));
    if (span_) EndSpan();
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      const Metadata& metadata = *methods->GetRecvInitialMetadata();
      has_callers_id_ = metadata.count(kRequestIdHeader) > 0;
      std::string_view trace = ValueOf(metadata, kTraceparentHeader);
      if (!IsPoll(method_, has_callers_id_)) {
        span_.emplace(tracing::StartRequest(trace, method_));
        trace = span_->traceparent();
      }
      request_ = FromMetadata(metadata, trace);
      RunningCalls::Get().Add(call_, request_);
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA) &&
        request_ != nullptr) {
      methods->GetSendInitialMetadata()->emplace(kRequestIdHeader, request_->request_id());
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      status_ = FromGrpc(methods->GetSendStatus());
    }
    methods->Proceed();
  }

 private:
  void EndSpan() {
    tracing::DescribeRpc(method_, *span_);
    span_->SetInt("rpc.grpc.status_code", static_cast<int>(status_.code()));
    if (IsServersFault(status_)) span_->SetStatus(status_);
    EndRequestSpan(*std::move(span_), *request_);
  }

  const grpc::ServerContextBase* const call_;
  const std::string method_;
  Metrics* const metrics_;
  const absl::Time start_;
  std::shared_ptr<RequestContext> request_;
  std::optional<tracing::Span> span_;  // then there is a request_, too
  bool has_callers_id_ = false;
  // Of a call that ends without having sent one, because its client is gone.
  absl::Status status_ = absl::CancelledError("the client went away");
};

class RpcInterceptorFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit RpcInterceptorFactory(Metrics* metrics) : metrics_(metrics) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    if (absl::StartsWith(info->method(), "/grpc.")) return nullptr;
    return new RpcInterceptor(info, metrics_);
  }

 private:
  Metrics* const metrics_;
};

}  // namespace

std::shared_ptr<RequestContext> RequestContextOf(const grpc::ServerContextBase& call) {
  if (std::shared_ptr<RequestContext> found = RunningCalls::Get().Find(&call)) return found;
  const Metadata& metadata = call.client_metadata();
  return FromMetadata(metadata, ValueOf(metadata, kTraceparentHeader));
}

void SendRequestContext(const RequestContext& request, grpc::ClientContext* call) {
  call->AddMetadata(kRequestIdHeader, request.request_id());
  if (!request.traceparent().empty()) call->AddMetadata(kTraceparentHeader, request.traceparent());
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeRpcInterceptors(
    Metrics* metrics) {
  return std::make_unique<RpcInterceptorFactory>(metrics);
}

}  // namespace serving
