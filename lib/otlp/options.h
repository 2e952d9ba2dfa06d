// The flags of a process that traces.
#ifndef DUET_OTLP_OPTIONS_H_
#define DUET_OTLP_OPTIONS_H_

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string>

#include "otlp/exporter.h"
#include "serving/flags.h"
#include "serving/metrics.h"

namespace otlp {

struct Options {
  std::string endpoint;  // "": nothing is traced
  double sample = 1;
};

void AddFlags(Options* options, serving::FlagTable* flags);

// The process traces while this lives. What ends later isn't recorded.
class Tracing {
 public:
  Tracing() = default;  // it doesn't
  explicit Tracing(std::shared_ptr<Exporter> exporter);
  // Sends what is left.
  ~Tracing();
  Tracing(Tracing&&) noexcept = default;
  Tracing& operator=(Tracing&&) = delete;

 private:
  std::shared_ptr<Exporter> exporter_;
};

// Traces as the service "duet-gateway", if there is an endpoint. InvalidArgument, naming flag or
// variable, for what is no URL or can't be read. `metrics` must outlive it.
absl::StatusOr<Tracing> StartTracing(const Options& options, const std::string& service,
                                     serving::Metrics& metrics);

// What StartTracing gives the exporter. `variable` gives an environment variable's value, "" if it
// isn't set. Of OpenTelemetry's, these are read: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES and
// OTEL_EXPORTER_OTLP_HEADERS. For tests.
absl::StatusOr<ExporterOptions> ReadOptions(
    const Options& options, const std::string& service,
    const std::function<std::string(const char* name)>& variable);

}  // namespace otlp

#endif  // DUET_OTLP_OPTIONS_H_
