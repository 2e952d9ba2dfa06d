// What every Prometheus client exports about its process, read from /proc at each scrape.
#ifndef DUET_SERVING_PROCESS_METRICS_H_
#define DUET_SERVING_PROCESS_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

namespace serving {

// Thread-safe. A value that cannot be read is left out.
class ProcessMetrics final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace serving

#endif  // DUET_SERVING_PROCESS_METRICS_H_
