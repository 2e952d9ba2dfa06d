// A bulk run, from its sources to its output: lists the images, or finds the run that is to be
// resumed, takes what is left through the services, and writes the output. What is done to the
// images is its kind's concern (run_kind.h): `duet prelabel` and `duet embed` are such runs.
#ifndef DUET_BULK_PRELABEL_RUN_H_
#define DUET_BULK_PRELABEL_RUN_H_

#include <absl/status/statusor.h>

#include <cstdint>

#include "bulk/finish_run.h"
#include "bulk/head.h"
#include "bulk/listing.h"
#include "bulk/pipeline.h"
#include "bulk/run_options.h"

namespace bulk {

// What the options alone say of a run's head: no models.
Head HeadOf(const RunOptions& options);

// What a run would do.
struct Plan {
  Listing listing;  // of the run that would be resumed, if there is one
  std::uint64_t done = 0;
};
// Changes nothing, and asks no service. Errors as Run's.
absl::StatusOr<Plan> PlanRun(const RunOptions& options);

// Resumes the run on the same output, if one was begun. The output is there only after success, and
// complete. Errors, one sentence each: those of ListImages and Pipeline::Run; FailedPrecondition if
// another process works on the output, if the output was begun from another source, with other
// models or settings, or if something else has its name; Unavailable if a service that is needed
// doesn't answer or can't be started, or if embeddings would end with the segmenter;
// InvalidArgument for a label config, or parameters of the mask generator, that can't be used.
//
// A run without an output leaves no journal when all is done: the same command then begins anew.
absl::StatusOr<RunResult> Run(const RunOptions& options, Reporter& reporter);

}  // namespace bulk

#endif  // DUET_BULK_PRELABEL_RUN_H_
