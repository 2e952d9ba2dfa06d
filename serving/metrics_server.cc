#include "serving/metrics_server.h"

#include <prometheus/exposer.h>

#include <exception>
#include <utility>

#include "serving/host_port.h"

namespace serving {

MetricsServer::MetricsServer(std::unique_ptr<prometheus::Exposer> exposer, int port)
    : exposer_(std::move(exposer)), port_(port) {}

MetricsServer::~MetricsServer() = default;

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& bind,
                                                                    int port,
                                                                    const Metrics& metrics) {
  // CivetWeb's own error doesn't say what is wrong.
  if (absl::Status free = CheckCanListen(bind, port, "--metrics_port"); !free.ok()) return free;
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(JoinHostPort(bind, port));
    for (const auto& collectable : metrics.collectables()) {
      exposer->RegisterCollectable(collectable);
    }
    const std::vector<int> ports = exposer->GetListeningPorts();
    if (ports.empty()) return absl::UnavailableError("the metrics server has no port");
    return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(exposer), ports.front()));
  } catch (const std::exception& e) {
    return absl::UnavailableError("cannot serve metrics on " + JoinHostPort(bind, port) + ": " +
                                  e.what());
  }
}

}  // namespace serving
