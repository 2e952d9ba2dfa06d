// Many shards' results become one run: its folder (run_folder.h) is the one that a single run over
// the whole manifest would have left, byte for byte, and so is the output that is made of it.
#ifndef DUET_BULK_MERGE_H_
#define DUET_BULK_MERGE_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <memory>
#include <string>

#include "bulk/finish_run.h"
#include "bulk/output.h"
#include "bulk/pipeline.h"
#include "http_client/network.h"

namespace bulk {

struct MergeOptions {
  std::string results;  // where the shards' results are: a folder, or "s3://bucket/prefix"
  OutputOptions output;
  const OutputFormat* format = nullptr;
  std::shared_ptr<http_client::Network> network = nullptr;  // null: Network::Default()
  std::string label_config;  // XML; "": the one that the shards were made with
};

// Reads the shards one after the other; memory doesn't grow with them. Interrupted, the same call
// goes on. Errors, one sentence each: FailedPrecondition for shards that are missing, twice there,
// or were made of something else than the others, by their names, and if the output was begun of
// other shards; InvalidArgument if the format needs what the shards don't have; DataLoss for
// damaged ones; those of the store and the file system.
absl::StatusOr<RunResult> MergeShards(const MergeOptions& options, Reporter& reporter);

}  // namespace bulk

#endif  // DUET_BULK_MERGE_H_
