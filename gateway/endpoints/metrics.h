// What the gateway counts; label values are from small closed sets.
#ifndef DUET_GATEWAY_ENDPOINTS_METRICS_H_
#define DUET_GATEWAY_ENDPOINTS_METRICS_H_

#include "serving/metrics.h"

namespace gateway::endpoints {

using serving::CounterSpec;
using serving::GaugeSpec;
using serving::HistogramSpec;

inline constexpr CounterSpec kRequests{"duet_gateway_requests_total",
                                       "Answered HTTP requests; route: the pattern, or \"none\".",
                                       "route,code"};
inline constexpr HistogramSpec kRequestSeconds{
    "duet_gateway_request_seconds", "From a request's header to its answer's last byte.", "route"};
inline constexpr CounterSpec kTasks{
    "duet_gateway_tasks_total",
    "Tasks of /predict; kind: batch, opened, interactive; code: OK or why not.", "kind,code"};
inline constexpr CounterSpec kWebhooks{
    "duet_gateway_webhooks_total", "Webhook events; action: known ones, or \"other\".", "action"};
inline constexpr CounterSpec kImages{
    "duet_gateway_images_total",
    "Images asked for; result: hit and failure_hit (both from the cache), miss, and those of the "
    "misses that were unchanged (304).",
    "result"};
inline constexpr CounterSpec kImageTransfers{
    "duet_gateway_image_transfers_total",
    "HTTP exchanges for images, redirects and tokens among them."};
inline constexpr GaugeSpec kImageCacheBytes{"duet_gateway_image_cache_bytes",
                                            "Memory that fetched images take."};
inline constexpr GaugeSpec kConnections{"duet_gateway_connections", "HTTP connections open."};

inline constexpr GaugeSpec kNamesBehind{
    "duet_gateway_names_behind",
    "How often a replica serves another version of a name than serving.json says; service: "
    "detector, segmenter.",
    "service"};

// Creates what is counted seldom, here and in the rooms below, so that the first count is seen as
// an increase.
void DeclareMetrics(serving::Metrics& metrics);
// The same for trainings, where there is a trainer.
void DeclareTrainingMetrics(serving::Metrics& metrics);

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_METRICS_H_
