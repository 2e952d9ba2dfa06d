// What pre-labelling counts; label values are from small closed sets.
#ifndef DUET_PRELABEL_METRICS_H_
#define DUET_PRELABEL_METRICS_H_

#include "serving/metrics.h"

namespace prelabel {

using serving::CounterSpec;
using serving::HistogramSpec;

inline constexpr HistogramSpec kStageSeconds{
    "duet_gateway_stage_seconds", "Stages of one task: fetch, detect, embed, segment, encode.",
    "stage"};
inline constexpr CounterSpec kRegions{"duet_gateway_regions_total", "Regions emitted."};
inline constexpr CounterSpec kDropped{
    "duet_gateway_dropped_total",
    "What was not emitted; reason: degenerate, unlabelled_class (once a project).", "reason"};
inline constexpr CounterSpec kDegraded{
    "duet_gateway_degraded_total", "Tasks answered with boxes alone, the segmenter being away."};

}  // namespace prelabel

#endif  // DUET_PRELABEL_METRICS_H_
