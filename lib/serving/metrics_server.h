// Serves GET /metrics on a port of its own, for the processes that have no HTTP server (the gateway
// has one), and GET /livez and /readyz for probes that cannot speak gRPC over TLS (Kubernetes').
// Always plaintext: nothing here is secret. Not by prometheus-cpp's Exposer: Debian's CivetWeb
// starts its threads with 100 KiB of stack, which glibc refuses in a process that loads LibTorch
// and OpenBLAS (106 KiB of thread-local storage).
#ifndef DUET_SERVING_METRICS_SERVER_H_
#define DUET_SERVING_METRICS_SERVER_H_

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string>

#include "serving/metrics.h"

namespace serving {

class MetricsServer {
 public:
  // Port 0: any free one. Unavailable, naming host:port, if it cannot listen. `metrics` must
  // outlive the server, and what `ready` uses, too: it is what /readyz says, asked on any thread.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& bind, int port,
                                                              const Metrics& metrics,
                                                              std::function<bool()> ready);
  ~MetricsServer();

  int port() const;

 private:
  class Impl;  // keeps Asio out of this header
  explicit MetricsServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace serving

#endif  // DUET_SERVING_METRICS_SERVER_H_
