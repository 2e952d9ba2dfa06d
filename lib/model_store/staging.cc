#include "model_store/staging.h"

#include <absl/status/status.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "files/atomic_file.h"
#include "model_store/staging_state.h"
#include "text/str_cat.h"

namespace model_store {
namespace {

using text::StrCat;

// The folder's files but those of our own, durable and measured.
absl::StatusOr<std::vector<StoredFile>> MeasureAll(const Folder& folder) {
  const absl::StatusOr<std::vector<std::string>> names = folder.Names();
  if (!names.ok()) return names.status();
  std::vector<StoredFile> files;
  for (const std::string& name : *names) {
    if (name == kOwnerFile || name == kManifestFile) continue;
    absl::StatusOr<StoredFile> file = folder.Measure(name, /*sync=*/true);
    if (absl::IsFailedPrecondition(file.status())) {
      return absl::InvalidArgumentError(file.status().message());
    }
    if (!file.ok()) return file.status();
    files.push_back(*std::move(file));
  }
  return files;
}

// What ParseManifest would refuse can't be published.
absl::Status CheckManifest(const Manifest& manifest, const Folder& folder) {
  for (const double score : {manifest.verdict.value_or(Verdict{}).old_score,
                             manifest.verdict.value_or(Verdict{}).new_score}) {
    if (score >= 0 && score <= 1) continue;
    return absl::InvalidArgumentError(
        StrCat(folder.path(), ": the verdict has a score of ", score, "; needed: 0 to 1"));
  }
  const bool has_model = std::any_of(manifest.files.begin(), manifest.files.end(),
                                     [](const auto& file) { return file.name == kModelFile; });
  if (has_model) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(folder.PathOf(kModelFile), ": is missing"));
}

}  // namespace

std::string UnusedName(const Folder& folder, std::string_view prefix) {
  static std::atomic<int> counter = 0;
  for (;;) {
    std::string name = StrCat(prefix, getpid(), ".", counter++);
    struct stat info = {};
    if (fstatat(folder.descriptor(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return name;
  }
}

absl::StatusOr<std::uint64_t> LastVersion(const NameLock& lock) {
  std::uint64_t last = lock.last_version();
  const absl::StatusOr<std::vector<std::string>> names = lock.folder().Names();
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) last = std::max(last, ParseVersion(name).value_or(0));
  return last;
}

std::string Rfc3339Now() {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
}

Staging::Staging(std::unique_ptr<State> state) : state_(std::move(state)) {}
Staging::Staging(Staging&&) noexcept = default;

Staging::~Staging() {
  if (state_ == nullptr) return;
  std::error_code ignored;
  std::filesystem::remove_all(state_->folder.path(), ignored);
}

const std::string& Staging::folder() const { return state_->folder.path(); }

absl::StatusOr<std::uint64_t> Staging::Publish(Manifest manifest) {
  const Folder& folder = state_->folder;
  // The name may have been deleted, and this with it.
  if (const auto name = state_->kind_folder.Sub(state_->name); !name.ok()) return name.status();
  manifest.kind = state_->kind;
  manifest.name = state_->name;
  manifest.created = Rfc3339Now();
  absl::StatusOr<std::vector<StoredFile>> files = MeasureAll(folder);
  if (!files.ok()) return files.status();
  manifest.files = *std::move(files);
  absl::Status status = CheckManifest(manifest, folder);
  if (!status.ok()) return status;

  absl::StatusOr<NameLock> lock = NameLock::Wait(state_->kind_folder, state_->name);
  if (!lock.ok()) return lock.status();
  const absl::StatusOr<std::uint64_t> last = LastVersion(*lock);
  if (!last.ok()) return last.status();
  if (*last == std::numeric_limits<std::uint64_t>::max()) {
    return absl::OutOfRangeError(StrCat(lock->folder().PathOf(StrCat(*last)),
                                        ": there is no higher number for the next version"));
  }
  manifest.version = *last + 1;
  status = lock->SetLastVersion(manifest.version);
  if (status.ok()) status = files::WriteFile(folder.PathOf(kManifestFile), ManifestText(manifest));
  if (!status.ok()) return status;
  unlinkat(folder.descriptor(), kOwnerFile, 0);
  if (status = folder.Sync(); !status.ok()) return status;
  const std::string target = lock->folder().PathOf(StrCat(manifest.version));
  if (rename(folder.path().c_str(), target.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, StrCat(target, ": cannot be published"));
  }
  state_ = nullptr;
  if (status = lock->folder().Sync(); !status.ok()) return status;
  return manifest.version;
}

}  // namespace model_store
