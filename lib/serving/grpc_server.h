// A gRPC server as all services need it: reflection (grpcurl works), standard health, request ids,
// logs, metrics, bounds on memory, threads and messages, one clear error if its port is taken, and
// a drain.
//
// Health (grpc.health.v1) has three names. "liveness" is SERVING from the moment the port is open
// until the process is gone; "readiness" and "" (what most clients ask for) only between
// SetReady(true) and SetReady(false).
#ifndef DUET_SERVING_GRPC_SERVER_H_
#define DUET_SERVING_GRPC_SERVER_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <grpcpp/channel.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "serving/flags.h"
#include "serving/metrics.h"
#include "serving/metrics_server.h"
#include "serving/process.h"

namespace serving {

struct GrpcServerOptions {
  std::string bind = "127.0.0.1";
  int port = 0;              // 0: any free one
  std::string metrics_bind;  // "": as `bind`
  int metrics_port = 0;      // as `port`
  // PEM files; "": no TLS, and no certificates asked of clients.
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_client_ca;
  int max_message_mb = 64;
  // Handlers that run or wait at once; calls beyond it get RESOURCE_EXHAUSTED. More than the work
  // queue holds, so that it is the queue which refuses.
  int max_handlers = 256;
  // Memory of gRPC's own buffers; beyond it reading from clients slows down.
  int max_buffer_mb = 1024;
};
// Set the service's own default ports in `options` first.
void AddFlags(GrpcServerOptions* options, FlagTable* flags);

// Thread-safe.
class GrpcServer final : public Listener {
 public:
  // Opens both ports. InvalidArgument, naming the flag, if the TLS files can't be used;
  // Unavailable, naming host:port, if a port is taken. `services` and `metrics` must outlive the
  // server.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(
      const GrpcServerOptions& options, const std::vector<grpc::Service*>& services,
      Metrics* metrics);
  // Cancels what is in flight.
  ~GrpcServer() override;

  int port() const { return port_; }
  int metrics_port() const { return metrics_server_->port(); }

  void SetReady(bool ready) override;
  void Drain(absl::Time deadline) override;
  LogFields Describe() const override;

  // For tests, without a socket.
  std::shared_ptr<grpc::Channel> InProcessChannel();

 private:
  GrpcServer() = default;

  std::atomic<bool> ready_{false};
  std::unique_ptr<MetricsServer> metrics_server_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;  // outlives server_
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::atomic<bool> draining_{false};
};

}  // namespace serving

#endif  // DUET_SERVING_GRPC_SERVER_H_
