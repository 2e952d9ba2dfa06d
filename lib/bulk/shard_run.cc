#include "bulk/shard_run.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "bulk/item.h"
#include "bulk/patience.h"
#include "bulk/prepared_manifest.h"
#include "bulk/run_folder.h"
#include "bulk/shard_result.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

namespace fs = std::filesystem;
using text::StrCat;

// OK if the result is that of this shard and these options.
absl::Status CheckIsOurs(const ShardResult& found, const RunOptions& options,
                         const std::string& address) {
  Head wanted = HeadOf(options);
  if (wanted.label_config.empty()) wanted.label_config = found.head().label_config;
  if (absl::Status status = CheckSame(found.head(), wanted, address); !status.ok()) return status;
  if ((options.masks || options.format->needs_masks) && found.head().masks == MaskMaker::kNone) {
    return absl::FailedPreconditionError(
        StrCat(Shown(address), " was made without masks; needed: the same --masks as before, or ",
               "another --out"));
  }
  return absl::OkStatus();
}

// A bucket that can't be found after a shard has been done was there before it.
absl::Status AwayIfGone(const absl::Status& status) {
  const bool gone = absl::IsNotFound(status) || absl::IsFailedPrecondition(status);
  return gone ? absl::UnavailableError(status.message()) : status;
}

}  // namespace

absl::StatusOr<RunResult> RunShard(RunOptions options, const std::string& results,
                                   const std::string& work, Reporter& reporter) {
  const PreparedManifest& manifest = *options.listing.prepared;
  const ShardIdentity identity = {.manifest = manifest.id(),
                                  .source = manifest.Describe(),
                                  .manifest_images = manifest.listing().images,
                                  .shard = options.listing.shard};
  const std::string name = ShardFileName(identity.shard);
  const std::string address = AddressBelow(results, name);
  const Patience patience = PatienceOf(options.pipeline.patience, reporter);
  std::error_code error;
  for (const std::string& folder : {work, IsS3Address(results) ? work : results}) {
    fs::create_directories(folder, error);
    if (error) return absl::ErrnoToStatus(error.value(), StrCat(Shown(folder), ": cannot be made"));
  }
  absl::StatusOr<ShardResult> found;
  (void)Patiently(patience, [&] {
    found = ShardResult::Open(address, options.network);
    return found.status();
  });
  if (found.ok()) {
    if (absl::Status status = CheckIsOurs(*found, options, address); !status.ok()) return status;
    return RunResult{.totals = found->totals(), .before = found->totals().images};
  }
  if (!absl::IsNotFound(found.status())) return found.status();

  OutputFormat format = *options.format;
  format.is_folder = false;
  format.write = WriteShardResult;
  options.format = &format;
  options.output.out = AddressBelow(work, name);
  options.output.shard = &identity;
  absl::StatusOr<RunResult> result = Run(options, reporter);
  if (!result.ok()) return result.status();
  if (options.output.out != address) {
    const absl::Status put = Patiently(patience, [&] {
      return AwayIfGone(PutObject(options.output.out, address, options.network));
    });
    if (!put.ok()) return put;
    fs::remove(options.output.out, error);
  }
  // What took it there isn't needed any more: the result has all of it.
  const absl::StatusOr<RunFolder> folder = RunFolder::Lock(options.output.out);
  if (folder.ok()) folder->Remove();
  return result;
}

}  // namespace bulk
