// What background jobs and the prefetcher counts; label values are from small closed sets.
#ifndef DUET_GATEWAY_JOBS_METRICS_H_
#define DUET_GATEWAY_JOBS_METRICS_H_

#include "serving/metrics.h"

namespace gateway::jobs {

using serving::CounterSpec;
using serving::GaugeSpec;

inline constexpr CounterSpec kPushed{
    "duet_gateway_pushed_total",
    "Tasks of background jobs; outcome: stored, already_there, failed, tried_again.", "outcome"};
inline constexpr GaugeSpec kPushWaiting{"duet_gateway_push_waiting",
                                        "Tasks of background jobs waiting for their turn."};
inline constexpr CounterSpec kPrefetched{
    "duet_gateway_prefetched_total",
    "Tasks fetched and embedded ahead of the first click; code: OK or why not.", "code"};

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_METRICS_H_
