#include "gateway/endpoints/metrics.h"

#include "gateway/jobs/metrics.h"
#include "prelabel/metrics.h"

namespace gateway::endpoints {

void DeclareMetrics(serving::Metrics& metrics) {
  metrics.Get(prelabel::kRegions);
  metrics.Get(prelabel::kDegraded);
  metrics.Get(gateway::jobs::kPushWaiting);
  metrics.Get(gateway::jobs::kPrefetched, {"OK"});
  for (const char* outcome : {"stored", "already_there", "failed", "tried_again"}) {
    metrics.Get(gateway::jobs::kPushed, {outcome});
  }
  metrics.Get(gateway::jobs::kEmbeddingRuns);
  for (const char* outcome : {"encoded", "already_there", "failed", "tried_again"}) {
    metrics.Get(gateway::jobs::kEmbedded, {outcome});
  }
  for (const char* reason : {"degenerate", "unlabelled_class"}) {
    metrics.Get(prelabel::kDropped, {reason});
  }
}

void DeclareTrainingMetrics(serving::Metrics& metrics) {
  metrics.Get(gateway::jobs::kTrainerUp);
  for (const char* outcome : {"started", "refused"}) {
    metrics.Get(gateway::jobs::kTrainings, {outcome});
  }
  for (const char* outcome : {"better", "not_better", "undecided", "failed", "cancelled"}) {
    metrics.Get(gateway::jobs::kTrainingsEnded, {outcome});
  }
  for (const char* outcome : {"swapped", "superseded", "failed"}) {
    metrics.Get(gateway::jobs::kVerdictsApplied, {outcome});
  }
}

}  // namespace gateway::endpoints
