#include "model_store/model_store.h"

#include <absl/status/status.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "files/atomic_file.h"
#include "model_store/folder.h"
#include "model_store/json_object.h"
#include "model_store/name_lock.h"
#include "model_store/staging_state.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace model_store {
namespace {

using text::StrCat;

constexpr std::size_t kMaxServingBytes = 64 << 10;
constexpr std::size_t kMaxTextBytes = 2000;  // six times as many where all is escaped
constexpr std::size_t kMaxManifestBytes = 4 << 20;

absl::Status WithPath(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), StrCat(path, ": ", text::StdView(status.message())));
}

// What is wrong with a file that must be there.
absl::Status AsDamage(const absl::Status& status) {
  if (absl::IsNotFound(status) || absl::IsFailedPrecondition(status) ||
      absl::IsInvalidArgument(status)) {
    return absl::DataLossError(status.message());
  }
  return status;
}

absl::StatusOr<Folder> OpenRoot(const std::string& root) {
  absl::StatusOr<Folder> folder = Folder::Open(root);
  if (absl::IsNotFound(folder.status())) {
    return absl::FailedPreconditionError(folder.status().message());
  }
  return folder;
}

absl::StatusOr<Folder> OpenKind(const std::string& root, Kind kind) {
  const absl::StatusOr<Folder> folder = OpenRoot(root);
  if (!folder.ok()) return folder.status();
  return folder->Sub(std::string(NameOf(kind)));
}

absl::StatusOr<Folder> OpenName(const std::string& root, Kind kind, const std::string& name) {
  if (absl::Status status = CheckName(name); !status.ok()) return status;
  const absl::StatusOr<Folder> folder = OpenKind(root, kind);
  if (!folder.ok()) return folder.status();
  return folder->Sub(name);
}

absl::StatusOr<Folder> VersionFolder(const std::string& root, Kind kind, const std::string& name,
                                     std::uint64_t version) {
  const absl::StatusOr<Folder> folder = OpenName(root, kind, name);
  if (!folder.ok()) return folder.status();
  return folder->Sub(StrCat(version));
}

absl::StatusOr<NameLock> LockName(const std::string& root, Kind kind, const std::string& name) {
  if (absl::Status status = CheckName(name); !status.ok()) return status;
  const absl::StatusOr<Folder> folder = OpenKind(root, kind);
  if (!folder.ok()) return folder.status();
  return NameLock::Wait(*folder, name);
}

absl::StatusOr<std::vector<std::uint64_t>> VersionsIn(const Folder& folder) {
  const absl::StatusOr<std::vector<std::string>> names = folder.Names();
  if (!names.ok()) return names.status();
  std::vector<std::uint64_t> versions;
  for (const std::string& name : *names) {
    if (const auto version = ParseVersion(name)) versions.push_back(*version);
  }
  std::sort(versions.begin(), versions.end());
  return versions;
}

absl::StatusOr<Manifest> ManifestIn(const Folder& folder, Kind kind, std::string_view name,
                                    std::uint64_t version) {
  const absl::StatusOr<std::string> text = folder.ReadText(kManifestFile, kMaxManifestBytes);
  if (!text.ok()) return AsDamage(text.status());
  absl::StatusOr<Manifest> manifest = ParseManifest(*text);
  const std::string path = folder.PathOf(kManifestFile);
  if (!manifest.ok()) return WithPath(path, manifest.status());
  if (manifest->kind == kind && manifest->name == name && manifest->version == version) {
    return manifest;
  }
  return absl::DataLossError(StrCat(path, ": is of version ", manifest->version, " of ",
                                    NameOf(manifest->kind), " ", Quoted(manifest->name)));
}

// Compares a file with what the manifest says. `copy`: an open file that gets its bytes, or -1.
absl::Status VerifyFile(const Folder& folder, const StoredFile& expected, int copy) {
  const absl::StatusOr<StoredFile> found =
      copy < 0 ? folder.Measure(expected.name, /*sync=*/false) : folder.CopyTo(copy, expected.name);
  if (!found.ok()) return AsDamage(found.status());
  if (found->bytes != expected.bytes) {
    return absl::DataLossError(StrCat(folder.PathOf(expected.name), ": has ", found->bytes,
                                      " bytes; it was published with ", expected.bytes));
  }
  if (found->sha256 == expected.sha256) return absl::OkStatus();
  return absl::DataLossError(StrCat(folder.PathOf(expected.name),
                                    ": has changed since it was published: its SHA-256 is not ",
                                    expected.sha256));
}

// `copy`: an open file that gets the weights, or -1.
absl::StatusOr<Manifest> Verify(const Folder& folder, Kind kind, std::string_view name,
                                std::uint64_t version, int copy) {
  absl::StatusOr<Manifest> manifest = ManifestIn(folder, kind, name, version);
  if (!manifest.ok()) return manifest.status();
  for (const StoredFile& file : manifest->files) {
    absl::Status status = VerifyFile(folder, file, file.name == kModelFile ? copy : -1);
    if (!status.ok()) return status;
  }
  return manifest;
}

absl::StatusOr<Serving> ParseServing(std::string_view text) {
  const absl::StatusOr<boost::json::object> object = ParseObject(text);
  if (!object.ok()) return object.status();
  if (object->if_contains("version") == nullptr) return absl::DataLossError("has no 'version'");
  Serving serving;
  absl::Status status = ReadField(*object, "version", &serving.version);
  if (status.ok()) status = ReadField(*object, "previous", &serving.previous);
  if (status.ok()) status = ReadField(*object, "decided", &serving.decided);
  if (status.ok()) status = ReadField(*object, "changed", &serving.changed);
  if (status.ok()) status = ReadField(*object, "by", &serving.by);
  if (status.ok()) status = ReadField(*object, "reason", &serving.reason);
  // What a release before this field has written needs no renewal.
  serving.renewed = true;
  if (status.ok()) status = ReadField(*object, "renewed", &serving.renewed);
  if (!status.ok()) return status;
  return serving;
}

std::string ServingText(const Serving& serving) {
  ObjectWriter writer;
  writer.Add("version", serving.version);
  writer.Add("previous", serving.previous);
  writer.Add("decided", serving.decided);
  writer.Add("changed", serving.changed);
  writer.Add("by", serving.by);
  writer.Add("reason", serving.reason);
  writer.AddJson("renewed", serving.renewed ? "true" : "false");
  return writer.Finish();
}

absl::StatusOr<Serving> ServingIn(const Folder& folder) {
  const absl::StatusOr<std::string> text = folder.ReadText(kServingFile, kMaxServingBytes);
  if (absl::IsNotFound(text.status())) return text.status();
  if (!text.ok()) return AsDamage(text.status());
  absl::StatusOr<Serving> serving = ParseServing(*text);
  if (!serving.ok()) return WithPath(folder.PathOf(kServingFile), serving.status());
  return serving;
}

// The same, where nothing serves yet.
absl::StatusOr<Serving> ServingOrNone(const Folder& folder) {
  absl::StatusOr<Serving> serving = ServingIn(folder);
  return absl::IsNotFound(serving.status()) ? Serving{} : serving;
}

// Renames `name` at once, so that nobody sees half of it, then removes it. What can't be removed
// now (a file that a machine over NFS still uses) is left for RemoveAbandoned.
absl::Status Remove(const Folder& folder, const std::string& name) {
  const std::string target = folder.PathOf(UnusedName(folder, kDeletedPrefix));
  if (rename(folder.PathOf(name).c_str(), target.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, StrCat(folder.PathOf(name), ": cannot be deleted"));
  }
  std::error_code ignored;
  std::filesystem::remove_all(target, ignored);
  return absl::OkStatus();
}

// The versions that may not go: what serves, what served before, and their parents.
absl::StatusOr<std::set<std::uint64_t>> Needed(const Folder& folder, Kind kind,
                                               const std::string& name) {
  const absl::StatusOr<Serving> serving = ServingOrNone(folder);
  if (!serving.ok()) return serving.status();
  std::set<std::uint64_t> needed;
  for (const std::uint64_t version : {serving->version, serving->previous}) {
    if (version == 0) continue;
    needed.insert(version);
    const absl::StatusOr<Folder> version_folder = folder.Sub(StrCat(version));
    // A previous version that somebody deleted needs nothing any more.
    if (absl::IsNotFound(version_folder.status()) && version != serving->version) continue;
    if (!version_folder.ok()) return version_folder.status();
    const absl::StatusOr<Manifest> manifest = ManifestIn(*version_folder, kind, name, version);
    if (!manifest.ok()) return manifest.status();
    needed.insert(manifest->parent);
  }
  return needed;
}

void RemoveAbandonedIn(const NameLock& lock) {
  const Folder& folder = lock.folder();
  files::RemoveAbandonedFiles(folder.path());
  const absl::StatusOr<std::vector<std::string>> names = folder.Names();
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    if (name.starts_with(kStagingPrefix)) {
      const absl::StatusOr<Folder> staging = folder.Sub(name);
      if (staging.ok() && absl::IsResourceExhausted(FileLock::Try(*staging, kOwnerFile).status())) {
        continue;
      }
    } else if (!name.starts_with(kDeletedPrefix)) {
      continue;
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder.PathOf(name), ignored);
  }
}

}  // namespace

std::string ModelStore::PathOf(Kind kind, std::string_view name, std::uint64_t version) const {
  const std::string path = StrCat(root_, "/", NameOf(kind), "/", name);
  return version == 0 ? path : StrCat(path, "/", version);
}

absl::StatusOr<std::vector<std::string>> ModelStore::ListNames(Kind kind) const {
  const absl::StatusOr<Folder> folder = OpenKind(root_, kind);
  if (absl::IsNotFound(folder.status())) return std::vector<std::string>();
  if (!folder.ok()) return folder.status();
  absl::StatusOr<std::vector<std::string>> names = folder->Names();
  if (!names.ok()) return names.status();
  std::erase_if(*names, [&](const std::string& name) {
    if (!CheckName(name).ok()) return true;
    const absl::Status opened = folder->Sub(name).status();
    // No folder, or one that was deleted meanwhile.
    return absl::IsFailedPrecondition(opened) || absl::IsNotFound(opened);
  });
  return names;
}

absl::StatusOr<std::vector<std::uint64_t>> ModelStore::ListVersions(Kind kind,
                                                                    const std::string& name) const {
  const absl::StatusOr<Folder> folder = OpenName(root_, kind, name);
  if (!folder.ok()) return folder.status();
  return VersionsIn(*folder);
}

absl::StatusOr<Manifest> ModelStore::ReadManifest(Kind kind, const std::string& name,
                                                  std::uint64_t version) const {
  const absl::StatusOr<Folder> folder = VersionFolder(root_, kind, name, version);
  if (!folder.ok()) return folder.status();
  return ManifestIn(*folder, kind, name, version);
}

absl::StatusOr<Manifest> ModelStore::VerifyVersion(Kind kind, const std::string& name,
                                                   std::uint64_t version) const {
  const absl::StatusOr<Folder> folder = VersionFolder(root_, kind, name, version);
  if (!folder.ok()) return folder.status();
  return Verify(*folder, kind, name, version, /*copy=*/-1);
}

absl::StatusOr<OpenedVersion> ModelStore::OpenVersion(Kind kind, const std::string& name,
                                                      std::uint64_t version) const {
  const absl::StatusOr<Folder> folder = VersionFolder(root_, kind, name, version);
  if (!folder.ok()) return folder.status();
  const int copy = memfd_create("duet-model", MFD_CLOEXEC);
  if (copy < 0) {
    return absl::ErrnoToStatus(errno, StrCat(folder->path(), ": no memory for its weights"));
  }
  OpenedVersion opened({}, folder->path(), copy);
  absl::StatusOr<Manifest> manifest = Verify(*folder, kind, name, version, copy);
  if (!manifest.ok()) return manifest.status();
  opened.manifest_ = *std::move(manifest);
  return opened;
}

absl::StatusOr<Serving> ModelStore::ReadServing(Kind kind, const std::string& name) const {
  const absl::StatusOr<Folder> folder = OpenName(root_, kind, name);
  if (!folder.ok()) return folder.status();
  return ServingIn(*folder);
}

absl::StatusOr<Serving> ModelStore::UpdateServing(Kind kind, const std::string& name,
                                                  ChangeServing change) const {
  const absl::StatusOr<NameLock> lock = LockName(root_, kind, name);
  if (!lock.ok()) return lock.status();
  const absl::StatusOr<Serving> now = ServingOrNone(lock->folder());
  if (!now.ok()) return now.status();
  absl::StatusOr<Serving> next = change(*now);
  if (!next.ok()) return next.status();
  const bool other_version = next->version != now->version;
  next->previous = other_version ? now->version : now->previous;
  next->decided = std::max(next->decided, now->decided);
  next->changed = other_version || now->changed.empty() ? Rfc3339Now() : now->changed;
  next->renewed = !other_version && next->renewed;
  // A file that is too large to be read again would stop all changes.
  next->by = text::Utf8Prefix(text::ToUtf8(next->by), kMaxTextBytes);
  next->reason = text::Utf8Prefix(text::ToUtf8(next->reason), kMaxTextBytes);
  if (other_version && next->version != 0) {
    const absl::StatusOr<Manifest> manifest = VerifyVersion(kind, name, next->version);
    if (!manifest.ok()) return manifest.status();
  }
  absl::Status written = files::WriteFile(lock->folder().PathOf(kServingFile), ServingText(*next));
  if (!written.ok()) return written;
  return next;
}

absl::StatusOr<Staging> ModelStore::Stage(Kind kind, const std::string& name) const {
  if (absl::Status status = CheckName(name); !status.ok()) return status;
  const absl::StatusOr<Folder> root = OpenRoot(root_);
  if (!root.ok()) return root.status();
  absl::StatusOr<Folder> kind_folder = root->SubOrNew(std::string(NameOf(kind)));
  if (!kind_folder.ok()) return kind_folder.status();
  if (const auto made = kind_folder->SubOrNew(name); !made.ok()) return made.status();
  const absl::StatusOr<NameLock> lock = NameLock::Wait(*kind_folder, name);
  if (!lock.ok()) return lock.status();
  absl::StatusOr<Folder> folder =
      lock->folder().SubOrNew(UnusedName(lock->folder(), kStagingPrefix));
  if (!folder.ok()) return folder.status();
  absl::StatusOr<FileLock> owner = FileLock::Wait(*folder, kOwnerFile);
  if (!owner.ok()) return owner.status();
  return Staging(std::make_unique<Staging::State>(
      Staging::State{kind, name, *std::move(kind_folder), *std::move(folder), *std::move(owner)}));
}

absl::Status ModelStore::DeleteVersion(Kind kind, const std::string& name,
                                       std::uint64_t version) const {
  absl::StatusOr<NameLock> lock = LockName(root_, kind, name);
  if (!lock.ok()) return lock.status();
  const absl::StatusOr<Serving> serving = ServingOrNone(lock->folder());
  if (!serving.ok()) return serving.status();
  const std::string path = PathOf(kind, name, version);
  if (version != 0 && serving->version == version) {
    return absl::FailedPreconditionError(
        StrCat(path, ": is the version that serves; let another one serve first"));
  }
  if (version == 0) return absl::NotFoundError(StrCat(path, ": there is no version 0 to delete"));
  const absl::StatusOr<std::uint64_t> last = LastVersion(*lock);
  if (!last.ok()) return last.status();
  if (absl::Status status = lock->SetLastVersion(*last); !status.ok()) return status;
  return Remove(lock->folder(), StrCat(version));
}

absl::Status ModelStore::DeleteName(Kind kind, const std::string& name) const {
  if (absl::Status status = CheckName(name); !status.ok()) return status;
  const absl::StatusOr<Folder> kind_folder = OpenKind(root_, kind);
  if (!kind_folder.ok()) return kind_folder.status();
  const absl::StatusOr<NameLock> lock = NameLock::Wait(*kind_folder, name);
  if (!lock.ok()) return lock.status();
  return Remove(*kind_folder, name);
}

absl::StatusOr<std::vector<std::uint64_t>> ModelStore::DeleteOldVersions(Kind kind,
                                                                         const std::string& name,
                                                                         std::uint64_t keep) const {
  absl::StatusOr<NameLock> lock = LockName(root_, kind, name);
  if (!lock.ok()) return lock.status();
  const absl::StatusOr<std::set<std::uint64_t>> needed = Needed(lock->folder(), kind, name);
  if (!needed.ok()) return needed.status();
  absl::StatusOr<std::vector<std::uint64_t>> versions = VersionsIn(lock->folder());
  if (!versions.ok()) return versions.status();
  const absl::StatusOr<std::uint64_t> last = LastVersion(*lock);
  if (!last.ok()) return last.status();
  if (absl::Status status = lock->SetLastVersion(*last); !status.ok()) return status;
  versions->resize(versions->size() - std::min<std::uint64_t>(versions->size(), keep));
  std::vector<std::uint64_t> deleted;
  for (const std::uint64_t version : *versions) {
    if (needed->contains(version)) continue;
    absl::Status status = Remove(lock->folder(), StrCat(version));
    if (!status.ok()) return status;
    deleted.push_back(version);
  }
  return deleted;
}

absl::Status ModelStore::RemoveAbandoned(Kind kind) const {
  const absl::StatusOr<Folder> folder = OpenKind(root_, kind);
  if (absl::IsNotFound(folder.status())) return absl::OkStatus();
  if (!folder.ok()) return folder.status();
  const absl::StatusOr<std::vector<std::string>> names = folder->Names();
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    std::error_code ignored;
    if (name.starts_with(kDeletedPrefix)) {
      std::filesystem::remove_all(folder->PathOf(name), ignored);
    } else if (CheckName(name).ok() && folder->Sub(name).ok()) {
      const absl::StatusOr<NameLock> lock = NameLock::Wait(*folder, name);
      if (lock.ok()) RemoveAbandonedIn(*lock);
    }
  }
  return absl::OkStatus();
}

}  // namespace model_store
