#include "trainer_service/work/publish.h"

#include <absl/status/status.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "files/atomic_file.h"
#include "files/mapped_file.h"
#include "hash/sha256.h"
#include "text/str_cat.h"

namespace trainer_service {
namespace {

namespace fs = std::filesystem;
using text::StrCat;

struct Copied {
  std::string_view from;
  std::string_view to;
};
constexpr std::array<Copied, 6> kCopied = {{{"last.pth", model_store::kModelFile},
                                            {"last.pth.json", "model.pth.json"},
                                            {"config.py", "config.py"},
                                            {"report.md", "report.md"},
                                            {"curves.svg", "curves.svg"},
                                            {"log.jsonl", "log.jsonl"}}};

// Copies a file, if it exists. std::filesystem calls a full disk an input/output error.
absl::Status Copy(const std::string& from, const std::string& to) {
  std::error_code error;
  if (!fs::exists(from, error) || fs::is_empty(from, error)) return absl::OkStatus();
  const auto file = files::MappedFile::Open(from);
  if (!file.ok()) return file.status();
  return files::WriteFile(to, (*file)->bytes());
}

// Whether that version is what is about to be published.
bool IsSame(const model_store::Manifest& there, const model_store::Manifest& now,
            std::string_view model_sha256) {
  return there.revision == now.revision && there.parent == now.parent &&
         there.project_id == now.project_id &&
         std::any_of(there.files.begin(), there.files.end(), [&](const auto& file) {
           return file.name == model_store::kModelFile && file.sha256 == model_sha256;
         });
}

}  // namespace

absl::StatusOr<std::uint64_t> PublishVersion(const model_store::ModelStore& store,
                                             const std::string& folder, const std::string& sides,
                                             model_store::Manifest manifest) {
  const auto model = files::MappedFile::Open(folder + "/last.pth");
  if (!model.ok()) return model.status();
  const std::string sha256 = hash::Sha256Hex((*model)->bytes());
  const auto versions = store.ListVersions(manifest.kind, manifest.name);
  if (versions.ok() && !versions->empty()) {
    const auto newest = store.ReadManifest(manifest.kind, manifest.name, versions->back());
    if (newest.ok() && IsSame(*newest, manifest, sha256)) return versions->back();
  }
  absl::StatusOr<model_store::Staging> staging = store.Stage(manifest.kind, manifest.name);
  if (!staging.ok()) return staging.status();
  for (const auto& [from, to] : kCopied) {
    const absl::Status copied = Copy(StrCat(folder, "/", from), StrCat(staging->folder(), "/", to));
    if (!copied.ok()) return copied;
  }
  const absl::Status copied = Copy(sides, StrCat(staging->folder(), "/", kSidesFile));
  if (!copied.ok()) return copied;
  return staging->Publish(std::move(manifest));
}

absl::Status CheckCanPublish(const model_store::ModelStore& store, model_store::Kind kind,
                             const std::string& name) {
  std::error_code error;
  if (!fs::is_directory(store.root(), error)) {
    return absl::FailedPreconditionError(
        StrCat("--model_root=", store.root(), ": there is no such folder"));
  }
  // The nearest folder that exists, in which the next one would be made.
  fs::path path = store.PathOf(kind, name);
  while (!fs::exists(path, error) && path != fs::path(store.root())) path = path.parent_path();
  if (access(path.c_str(), W_OK | X_OK) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, StrCat(path.string(), ": versions cannot be written there"));
}

}  // namespace trainer_service
