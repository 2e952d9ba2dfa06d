// Metrics in Prometheus' terms. Every layer declares its metrics in one list, as constants like
// those below, and asks for them by that constant; a name that isn't declared cannot be counted.
//
//   inline constexpr CounterSpec kDetections{"duet_detector_detections_total",
//                                            "Detections returned.", "class"};
//   metrics.Get(kDetections, {"person"}).Increment();
//
// Label values come from small closed sets of our own (methods, codes, ranks), never from a
// request's text. References stay valid for as long as the Metrics. Thread-safe.
#ifndef DUET_SERVING_METRICS_H_
#define DUET_SERVING_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace serving {

// Upper bounds, seconds: from a cached click (milliseconds) to a ViT-H encoder pass on two cores
// (tens of seconds).
inline constexpr double kLatencySeconds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                             0.5,   1,      2.5,   5,    10,    25,   60};

// `labels`: names separated by commas, "" for none.
struct CounterSpec {
  const char* name;  // ends in _total
  const char* help;
  const char* labels = "";
};
struct GaugeSpec {
  const char* name;
  const char* help;
  const char* labels = "";
};
struct HistogramSpec {
  const char* name;  // ends in the unit: _seconds, _bytes
  const char* help;
  const char* labels = "";
  std::span<const double> buckets = kLatencySeconds;
};

// What serving/ itself counts.
inline constexpr CounterSpec kRpcRequests{"duet_rpc_requests_total", "Finished RPCs.",
                                          "method,code"};
inline constexpr HistogramSpec kRpcSeconds{"duet_rpc_seconds",
                                           "From an RPC's first byte to its end.", "method"};
inline constexpr GaugeSpec kRpcInFlight{"duet_rpc_in_flight", "RPCs begun and not finished.",
                                        "method"};
inline constexpr GaugeSpec kQueueDepth{"duet_queue_depth", "Work waiting, not running.", "queue"};
inline constexpr HistogramSpec kQueueSeconds{"duet_queue_seconds",
                                             "Time that work waited before it ran.", "queue,rank"};
inline constexpr CounterSpec kQueueUnserved{
    "duet_queue_unserved_total",
    "Work refused or dropped before it ran; reason: full, expired, cancelled, draining.",
    "queue,reason"};
inline constexpr GaugeSpec kReady{"duet_ready", "1 between warm-up and drain, else 0."};

class Metrics {
 public:
  // With the process's own: process_resident_memory_bytes, process_cpu_seconds_total,
  // process_threads, ….
  Metrics();

  // REQUIRES: as many label values as the spec has names.
  prometheus::Counter& Get(const CounterSpec& spec,
                           std::initializer_list<std::string_view> label_values = {});
  prometheus::Gauge& Get(const GaugeSpec& spec,
                         std::initializer_list<std::string_view> label_values = {});
  prometheus::Histogram& Get(const HistogramSpec& spec,
                             std::initializer_list<std::string_view> label_values = {});

  // The text exposition format (version 0.0.4), for Content-Type kTextType.
  std::string Text() const;
  static constexpr char kTextType[] = "text/plain; version=0.0.4; charset=utf-8";

  // For an exposer.
  const std::vector<std::shared_ptr<prometheus::Collectable>>& collectables() const {
    return collectables_;
  }

 private:
  // What was made before with this name and these label values, or `make()`.
  template <typename Metric, typename Make>
  Metric& FindOr(const char* name, std::initializer_list<std::string_view> label_values,
                 const Make& make);

  std::shared_ptr<prometheus::Registry> registry_;
  // The registry would find them, too, but builds and sorts labels to do so: a request of a
  // millisecond asks a dozen times.
  std::mutex mutex_;
  std::unordered_map<std::string, void*> known_;  // guarded by mutex_
  std::vector<std::shared_ptr<prometheus::Collectable>> collectables_;
};

}  // namespace serving

#endif  // DUET_SERVING_METRICS_H_
