#include "bulk/retry.h"

#include <filesystem>
#include <optional>
#include <system_error>

#include "bulk/manifest.h"
#include "files/folder.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

namespace fs = std::filesystem;
using duet::bulk::v1::Record;

absl::StatusOr<std::uint64_t> CountImages(const std::string& manifest) {
  absl::StatusOr<ManifestReader> images = ManifestReader::Open(manifest, {});
  if (!images.ok()) return images.status();
  for (;;) {
    const auto image = images->Next();
    if (!image.ok()) return image.status();
    if (!*image) return images->place().index;
  }
}

}  // namespace

absl::StatusOr<Retry> Retry::Begin(const RunFolder& run, const Totals& totals) {
  Retry retry(run, totals.images, totals.failed());
  std::error_code error;
  if (fs::exists(retry.manifest(), error)) {
    const auto images = CountImages(retry.manifest());
    // Else it was finished, but for its folder.
    if (images.ok() && *images == retry.images_) return retry;
  }
  fs::remove_all(retry.folder_, error);
  if (absl::Status status = files::MakeFolder(retry.folder_); !status.ok()) return status;
  if (absl::Status status = retry.WriteManifest(); !status.ok()) return status;
  return retry;
}

absl::Status Retry::WriteManifest() const {
  absl::StatusOr<ManifestWriter> images = ManifestWriter::Create(manifest());
  if (!images.ok()) return images.status();
  absl::Status status = run_.ForEachResult(of_, [&](const Item& item, const Record& record) {
    if (record.has_failure()) images->Add(item.name, item.id);
    return absl::OkStatus();
  });
  return status.ok() ? images->Commit() : status;
}

absl::Status Retry::Merge(const std::string& folder) const {
  absl::StatusOr<Journal> merged = Journal::Open(folder, run_.manifest());
  if (!merged.ok()) return merged.status();
  absl::StatusOr<ManifestReader> images = ManifestReader::Open(run_.manifest(), {});
  if (!images.ok()) return images.status();
  absl::StatusOr<JournalReader> again = JournalReader::Open(folder_);
  if (!again.ok()) return again.status();
  absl::Status status =
      run_.ForEachResult(of_, [&](const Item& item, const Record& record) -> absl::Status {
        if (const auto image = images->Next(); !image.ok()) return image.status();
        if (!record.has_failure()) return merged->Append(record, images->place());
        auto found = again->Next();
        if (!found.ok()) return found.status();
        if (!*found) {
          return absl::DataLossError(
              text::StrCat(folder_, ": the journal is damaged; delete the folder to try again"));
        }
        (*found)->set_index(item.index);
        return merged->Append(**found, images->place());
      });
  return status.ok() ? merged->Sync() : status;
}

absl::Status Retry::Finish() const {
  const std::string folder = folder_ + "/merged";
  std::error_code error;
  fs::remove_all(folder, error);
  if (absl::Status status = files::MakeFolder(folder); !status.ok()) return status;
  if (absl::Status status = Merge(folder); !status.ok()) return status;
  // A journal without a checkpoint is read as a whole: at no moment there is another one's.
  fs::remove(run_.path() + "/checkpoint", error);
  if (absl::Status status = files::SyncFolder(run_.path()); !status.ok()) return status;
  fs::rename(folder + "/journal", run_.path() + "/journal", error);
  if (error) return absl::ErrnoToStatus(error.value(), text::StrCat(folder, ": cannot be moved"));
  if (absl::Status status = files::SyncFolder(run_.path()); !status.ok()) return status;
  fs::rename(folder + "/checkpoint", run_.path() + "/checkpoint", error);
  fs::remove_all(folder_, error);
  return absl::OkStatus();
}

}  // namespace bulk
