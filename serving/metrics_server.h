// Serves GET /metrics on a port of its own, for the processes that have no HTTP server (the gateway
// has one).
#ifndef DUET_SERVING_METRICS_SERVER_H_
#define DUET_SERVING_METRICS_SERVER_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "serving/metrics.h"

namespace prometheus {
class Exposer;
}

namespace serving {

class MetricsServer {
 public:
  // Port 0: any free one. Unavailable, naming host:port, if it cannot listen. `metrics` must
  // outlive the server.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& bind, int port,
                                                              const Metrics& metrics);
  ~MetricsServer();

  int port() const { return port_; }

 private:
  MetricsServer(std::unique_ptr<prometheus::Exposer> exposer, std::string host, int port);

  std::unique_ptr<prometheus::Exposer> exposer_;
  const std::string host_;
  const int port_;
};

}  // namespace serving

#endif  // DUET_SERVING_METRICS_SERVER_H_
