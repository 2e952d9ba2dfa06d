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

inline constexpr CounterSpec kEmbedded{"duet_gateway_embedded_total",
                                       "Images of projects that are embedded as a whole (POST "
                                       "/embed); outcome: encoded, already_there; "
                                       "failed, tried_again (tasks).",
                                       "outcome"};
inline constexpr GaugeSpec kEmbeddingRuns{"duet_gateway_embedding_runs",
                                          "Projects that wait to be embedded, or are being."};

inline constexpr CounterSpec kTrainings{"duet_gateway_trainings_total",
                                        "Requests for a training; outcome: started, refused.",
                                        "outcome"};
inline constexpr CounterSpec kTrainingsEnded{
    "duet_gateway_trainings_ended_total",
    "Trainings that ended; outcome: better, not_better, undecided, failed, cancelled.", "outcome"};
inline constexpr CounterSpec kVerdictsApplied{
    "duet_gateway_verdicts_total",
    "What this gateway made of verdicts; outcome: swapped, superseded, failed.", "outcome"};
inline constexpr GaugeSpec kTrainingJobs{
    "duet_gateway_training_jobs",
    "Trainings that wait or run; state: queued, freezing, training, comparing.", "state"};
inline constexpr GaugeSpec kTrainerUp{"duet_gateway_trainer_up",
                                      "1 if the trainer answered when it was asked last."};

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_METRICS_H_
