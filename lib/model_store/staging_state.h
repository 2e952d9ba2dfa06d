// What a Staging holds. For this room only.
#ifndef DUET_MODEL_STORE_STAGING_STATE_H_
#define DUET_MODEL_STORE_STAGING_STATE_H_

#include <string>
#include <string_view>

#include "model_store/folder.h"
#include "model_store/name_lock.h"
#include "model_store/staging.h"

namespace model_store {

// How folders begin that are no versions, so that RemoveAbandoned knows them.
inline constexpr std::string_view kStagingPrefix = ".staging-";
inline constexpr std::string_view kDeletedPrefix = ".deleted-";
// In a staging folder, locked by the process that works there.
inline constexpr char kOwnerFile[] = ".owner";
inline constexpr char kManifestFile[] = "manifest.json";
inline constexpr char kServingFile[] = "serving.json";

struct Staging::State {
  Kind kind;
  std::string name;
  Folder kind_folder;
  Folder folder;
  FileLock owner;
};

// A name in `folder` that nobody has: `prefix`, the process's id and a number.
std::string UnusedName(const Folder& folder, std::string_view prefix);

// The highest number that a version of the locked name has or had.
absl::StatusOr<std::uint64_t> LastVersion(const NameLock& lock);

// "2026-11-30T08:15:00Z"
std::string Rfc3339Now();

}  // namespace model_store

#endif  // DUET_MODEL_STORE_STAGING_STATE_H_
