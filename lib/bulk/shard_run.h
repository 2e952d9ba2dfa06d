// One shard of a run, done by one of many machines: its results become one file in a folder, or
// one object below a prefix in a bucket, from which merge.h makes the output.
#ifndef DUET_BULK_SHARD_RUN_H_
#define DUET_BULK_SHARD_RUN_H_

#include <absl/status/statusor.h>

#include <string>

#include "bulk/prelabel_run.h"

namespace bulk {

// Does the shard `options.listing.shard` of `options.listing.prepared`, and puts its results below
// `results`, a folder or "s3://bucket/prefix". Whoever is killed meanwhile and begins again goes on
// with what is in the folder `work`; whoever finds the result there is done. options.output.out
// isn't used.
//
// Errors, besides those of Run: FailedPrecondition for a result of this name that was made
// of something else, InvalidArgument, PermissionDenied, Unauthenticated, NotFound and DataLoss for
// what somebody has to change. All others may be gone the next time: then the same command goes on.
absl::StatusOr<RunResult> RunShard(RunOptions options, const std::string& results,
                                   const std::string& work, Reporter& reporter);

// What RunShard would do. Changes nothing; errors are RunShard's.
absl::StatusOr<Plan> PlanShard(RunOptions options, const std::string& results,
                               const std::string& work);

}  // namespace bulk

#endif  // DUET_BULK_SHARD_RUN_H_
