// What every Prometheus client exports about its process, read from /proc at each scrape.
#ifndef DUET_SERVING_PROCESS_METRICS_H_
#define DUET_SERVING_PROCESS_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <cstdint>
#include <vector>

namespace serving {

// Thread-safe. A value that cannot be read is left out.
class ProcessMetrics final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

// Resident memory of this process, from the kernel; 0 if it doesn't tell.
std::uint64_t ResidentBytes();

}  // namespace serving

#endif  // DUET_SERVING_PROCESS_METRICS_H_
