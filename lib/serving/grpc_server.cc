#include "serving/grpc_server.h"

#include <absl/strings/str_cat.h>
#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <mutex>
#include <utility>

#include "grpc/health/v1/health.pb.h"
#include "serving/grpc_credentials.h"
#include "serving/grpc_log.h"
#include "serving/host_port.h"
#include "serving/rpc_interceptor.h"
#include "serving/tls_files.h"
#include "text/authority.h"

namespace serving {
namespace {

constexpr char kLiveness[] = "liveness";
constexpr char kReadiness[] = "readiness";

// gRPC's library state is global: its messages become lines of our log, health and reflection are
// on.
void SetUpGrpcOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    RouteGrpcLog(LogLevel::kWarning);  // errors about our own port come back as a Status
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    // Else the linker leaves out the description, and reflection doesn't know the service.
    google::protobuf::LinkMessageReflection<grpc::health::v1::HealthCheckRequest>();
  });
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> CredentialsOf(
    const GrpcServerOptions& options) {
  if (options.tls_certificate.empty() && options.tls_key.empty()) {
    if (options.tls_client_ca.empty()) return grpc::InsecureServerCredentials();
    return absl::InvalidArgumentError("--tls_client_ca needs --tls_certificate and --tls_key");
  }
  auto files = TlsFiles::Open({.certificate = {"--tls_certificate", options.tls_certificate},
                               .key = {"--tls_key", options.tls_key},
                               .authorities = {"--tls_client_ca", options.tls_client_ca}});
  if (!files.ok()) return files.status();
  return ReloadingServerCredentials(*std::move(files));
}

}  // namespace

void AddFlags(GrpcServerOptions* options, FlagTable* flags) {
  flags->Add("bind", &options->bind, "Address to listen on; 0.0.0.0 for all of the machine's.");
  flags->Add("port", &options->port,
             "gRPC port; 0: any free one, named in the \"serving\" log line.", InRange(0, 65535));
  flags->Add("metrics_bind", &options->metrics_bind,
             "Address to serve metrics and probes on, which is never by TLS. Empty: as --bind.");
  flags->Add("metrics_port", &options->metrics_port,
             "HTTP port of GET /metrics, /livez and /readyz; 0: any free one, named in the "
             "\"serving\" log line.",
             InRange(0, 65535));
  flags->Add("tls_certificate", &options->tls_certificate,
             "Serve gRPC over TLS with this certificate chain (PEM); read again when it changes. "
             "Empty: plaintext.");
  flags->Add("tls_key", &options->tls_key, "The certificate's private key (PEM).");
  flags->Add("tls_client_ca", &options->tls_client_ca,
             "Take calls only from clients with a certificate that one of these authorities (PEM) "
             "has signed. Empty: from any.");
  flags->Add("max_message_mb", &options->max_message_mb,
             "Largest message to take or send, MiB; holds the encoded image.", InRange(1, 1024));
  flags->Add("max_handlers", &options->max_handlers,
             "Calls to handle or keep waiting at once; more are refused with RESOURCE_EXHAUSTED.",
             InRange(8, 4096));
  flags->Add("max_buffer_mb", &options->max_buffer_mb,
             "Memory of gRPC's buffers, MiB; beyond it reading from clients slows down.",
             InRange(64, 65536));
}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(
    const GrpcServerOptions& options, const std::vector<grpc::Service*>& services,
    Metrics* metrics) {
  SetUpGrpcOnce();
  auto credentials = CredentialsOf(options);
  if (!credentials.ok()) return credentials.status();
  if (absl::Status free = CheckCanListen(options.bind, options.port, "--port"); !free.ok()) {
    return free;
  }
  auto started = std::unique_ptr<GrpcServer>(new GrpcServer);
  auto metrics_server = MetricsServer::Start(
      options.metrics_bind.empty() ? options.bind : options.metrics_bind, options.metrics_port,
      *metrics, [&ready = started->ready_] { return ready.load(); });
  if (!metrics_server.ok()) return metrics_server.status();
  started->metrics_server_ = *std::move(metrics_server);
  started->credentials_ = *std::move(credentials);

  grpc::ServerBuilder builder;
  const std::string address = text::JoinHostPort(options.bind, options.port);
  builder.AddListeningPort(address, started->credentials_, &started->port_);
  // Otherwise two servers could share a port in silence.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(options.max_message_mb << 20);
  builder.SetMaxSendMessageSize(options.max_message_mb << 20);
  // Clients may ping an idle connection every 10 s to see whether it still stands.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);  // records that nobody asks for
  grpc::ResourceQuota quota("duet");
  quota.Resize(static_cast<std::size_t>(options.max_buffer_mb) << 20);
  quota.SetMaxThreads(options.max_handlers);
  builder.SetResourceQuota(quota);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, 2);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(MakeRpcInterceptors(metrics));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  for (grpc::Service* service : services) builder.RegisterService(service);
  started->server_ = builder.BuildAndStart();
  if (started->server_ == nullptr || started->port_ == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", address, " (--port)"));
  }
  started->SetReady(false);
  started->server_->GetHealthCheckService()->SetServingStatus(kLiveness, true);
  LogLine("listening").Append(started->Describe());
  WarnIfOpenPlaintext(options.bind, !options.tls_certificate.empty(),
                      "--tls_certificate, --tls_key and --tls_client_ca, or a network where only "
                      "the gateway reaches this port");
  return started;
}

GrpcServer::~GrpcServer() {
  if (server_ != nullptr) Drain(absl::Now());
}

void GrpcServer::SetReady(bool ready) {
  ready_ = ready;
  server_->GetHealthCheckService()->SetServingStatus(kReadiness, ready);
  server_->GetHealthCheckService()->SetServingStatus("", ready);
}

void GrpcServer::Drain(absl::Time deadline) {
  if (draining_.exchange(true) && deadline <= absl::Now()) {
    // Shutdown holds a lock while it waits, so a second one could not hurry it.
    grpc_server_cancel_all_calls(server_->c_server());
    return;
  }
  server_->Shutdown(absl::ToChronoTime(deadline));
}

LogFields GrpcServer::Describe() const {
  LogFields fields;
  fields.Int("port", port_).Int("metrics_port", metrics_port());
  return fields;
}

std::shared_ptr<grpc::Channel> GrpcServer::InProcessChannel() {
  return server_->InProcessChannel(grpc::ChannelArguments());
}

}  // namespace serving
