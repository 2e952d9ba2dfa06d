#include "bulk/shard_run.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "bulk/item.h"
#include "bulk/output.h"
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

// Where a shard is worked on, and where its result belongs.
struct Places {
  std::string work;     // a path; the result's own if that is in the folder of the work
  std::string address;  // of the result
};

Places PlacesOf(const Shard& shard, const std::string& results, const std::string& work) {
  const std::string name = ShardFileName(shard);
  Places places{.work = AddressBelow(work, name), .address = AddressBelow(results, name)};
  // However the two folders are spelled.
  std::error_code ignored;
  if (!IsS3Address(results) && fs::equivalent(work, results, ignored)) places.work = places.address;
  return places;
}

// Removes what took the result to its place, which has all of it.
void Tidy(const Places& places) {
  std::error_code ignored;
  if (!fs::exists(places.work + ".journal", ignored)) return;
  const absl::StatusOr<RunFolder> folder = RunFolder::Lock(places.work);
  if (!folder.ok()) return;  // another process is at it
  if (places.work != places.address) fs::remove(places.work, ignored);
  fs::remove(FailuresPath(places.work), ignored);
  folder->Remove();
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
  const Patience patience = PatienceOf(options.pipeline.patience, reporter);
  std::error_code error;
  for (const std::string& folder : {work, IsS3Address(results) ? work : results}) {
    fs::create_directories(folder, error);
    if (error) return absl::ErrnoToStatus(error.value(), StrCat(Shown(folder), ": cannot be made"));
  }
  const Places places = PlacesOf(identity.shard, results, work);
  absl::StatusOr<ShardResult> found;
  (void)Patiently(patience, [&] {
    found = ShardResult::Open(places.address, options.network);
    return found.status();
  });
  if (found.ok()) {
    absl::Status status = CheckIsOurs(*found, options, places.address);
    if (!status.ok()) return status;
    Tidy(places);
    return RunResult{.totals = found->totals(), .before = found->totals().images};
  }
  if (!absl::IsNotFound(found.status())) return found.status();

  OutputFormat format = *options.format;
  format.is_folder = false;
  format.write = WriteShardResult;
  options.format = &format;
  options.output.out = places.work;
  options.output.shard = &identity;
  absl::StatusOr<RunResult> result = Run(options, reporter);
  if (!result.ok()) return result.status();
  if (places.work != places.address) {
    const absl::Status put = Patiently(patience, [&] {
      return AwayIfGone(PutObject(places.work, places.address, options.network));
    });
    if (!put.ok()) return put;
  }
  Tidy(places);
  result->failures.clear();  // the merge lists them
  return result;
}

absl::StatusOr<Plan> PlanShard(RunOptions options, const std::string& results,
                               const std::string& work) {
  const Places places = PlacesOf(options.listing.shard, results, work);
  const absl::StatusOr<ShardResult> found = ShardResult::Open(places.address, options.network);
  if (absl::IsNotFound(found.status())) {
    options.output.out = places.work;
    return PlanRun(options);
  }
  if (!found.ok()) return found.status();
  if (absl::Status status = CheckIsOurs(*found, options, places.address); !status.ok())
    return status;
  return Plan{.listing = found->head().listing, .done = found->totals().images};
}

}  // namespace bulk
