// The results of one shard as one file: what a machine hands over when it has done its part.
//
// A line of JSON (which shard of which manifest, what the results were made of, and how long what
// follows is), then the shard's manifest and its journal as they are. It is read from front to
// back, by ranges of bytes, so that a store need not be a file system.
#ifndef DUET_BULK_SHARD_RESULT_H_
#define DUET_BULK_SHARD_RESULT_H_

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bulk/head.h"
#include "bulk/journal.h"
#include "bulk/output.h"
#include "bulk/shard.h"
#include "bulk/stored_object.h"

namespace bulk {

// Which part of what.
struct ShardIdentity {
  std::string manifest;               // the id of a prepared manifest
  std::string source;                 // what that manifest lists, for a head
  std::uint64_t manifest_images = 0;  // of all shards
  Shard shard;
};

// Writes a shard's results as an OutputFormat does. REQUIRES: options.shard isn't null.
absl::Status WriteShardResult(const Results& results, const OutputOptions& options,
                              dataset::Findings* findings);

class ShardResult {
 public:
  // Reads the first line. DataLoss if it isn't the whole result of a shard; StoredObject's errors.
  static absl::StatusOr<ShardResult> Open(const std::string& address,
                                          std::shared_ptr<http_client::Network> network);

  const ShardIdentity& identity() const { return identity_; }
  // With the shard's own number of images.
  const Head& head() const { return head_; }
  const Totals& totals() const { return totals_; }
  // Of all that was found; "" if an earlier release wrote it.
  const std::string& journal_checksum() const { return journal_checksum_; }

  // Passes on the lines of the shard's manifest as they are, in pieces of any size. DataLoss if
  // they aren't those that were written.
  absl::Status ReadManifest(absl::FunctionRef<void(std::string_view bytes)> on_bytes) const;
  // Passes on the records, as many as there are images, with the indices that they have within the
  // shard, until `on_record` fails. DataLoss for damaged ones.
  absl::Status ReadRecords(
      absl::FunctionRef<absl::Status(duet::bulk::v1::Record record)> on_record) const;

 private:
  ShardResult() = default;

  std::unique_ptr<StoredObject> object_;
  ShardIdentity identity_;
  Head head_;
  Totals totals_;
  std::uint64_t manifest_begin_ = 0;  // bytes
  std::uint64_t journal_begin_ = 0;
  std::string manifest_checksum_;
  std::string journal_checksum_;
};

}  // namespace bulk

#endif  // DUET_BULK_SHARD_RESULT_H_
