#include "serving/metrics_server.h"

#include <prometheus/exposer.h>

#include <chrono>
#include <exception>
#include <future>
#include <thread>
#include <utility>

#include "serving/host_port.h"

namespace serving {

MetricsServer::MetricsServer(std::unique_ptr<prometheus::Exposer> exposer, std::string host,
                             int port)
    : exposer_(std::move(exposer)), host_(std::move(host)), port_(port) {}

// CivetWeb's accepting thread looks every two seconds whether it should stop, or when somebody
// connects.
MetricsServer::~MetricsServer() {
  std::promise<void> stopped;
  std::thread stop([&] {
    exposer_.reset();
    stopped.set_value();
  });
  const std::future<void> done = stopped.get_future();
  do {
    Knock(host_, port_);
  } while (done.wait_for(std::chrono::milliseconds(5)) != std::future_status::ready);
  stop.join();
}

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
    return std::unique_ptr<MetricsServer>(
        new MetricsServer(std::move(exposer), bind, ports.front()));
  } catch (const std::exception& e) {
    return absl::UnavailableError("cannot serve metrics on " + JoinHostPort(bind, port) + ": " +
                                  e.what());
  }
}

}  // namespace serving
