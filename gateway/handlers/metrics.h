// What the gateway counts; label values are from small closed sets.
#ifndef DUET_GATEWAY_HANDLERS_METRICS_H_
#define DUET_GATEWAY_HANDLERS_METRICS_H_

#include "serving/metrics.h"

namespace gateway::handlers {

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
inline constexpr HistogramSpec kStageSeconds{
    "duet_gateway_stage_seconds", "Stages of one task: fetch, detect, embed, segment, encode.",
    "stage"};
inline constexpr CounterSpec kRegions{"duet_gateway_regions_total", "Regions emitted."};
inline constexpr CounterSpec kDropped{
    "duet_gateway_dropped_total",
    "What was not emitted; reason: degenerate, unlabelled_class (once a project).", "reason"};
inline constexpr CounterSpec kDegraded{
    "duet_gateway_degraded_total", "Tasks answered with boxes alone, the segmenter being away."};
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
inline constexpr CounterSpec kPushed{
    "duet_gateway_pushed_total",
    "Tasks of background jobs; outcome: stored, already_there, failed, tried_again.", "outcome"};
inline constexpr GaugeSpec kPushWaiting{"duet_gateway_push_waiting",
                                        "Tasks of background jobs waiting for their turn."};
inline constexpr CounterSpec kPrefetched{
    "duet_gateway_prefetched_total",
    "Tasks fetched and embedded ahead of the hand; code: OK or why not.", "code"};
inline constexpr GaugeSpec kConnections{"duet_gateway_connections", "HTTP connections open."};

}  // namespace gateway::handlers

#endif  // DUET_GATEWAY_HANDLERS_METRICS_H_
