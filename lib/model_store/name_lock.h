// The lock of a name, which all who change something below it hold: publishers, gateways, whoever
// deletes. Readers need none. For this room only.
#ifndef DUET_MODEL_STORE_NAME_LOCK_H_
#define DUET_MODEL_STORE_NAME_LOCK_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <utility>

#include "model_store/folder.h"

namespace model_store {

// A lock on a file, which ends with the object and with the process. Movable.
class FileLock {
 public:
  // Waits for it. The file is made if it doesn't exist.
  static absl::StatusOr<FileLock> Wait(const Folder& folder, const std::string& name);
  // ResourceExhausted if somebody else holds it; NotFound if there is no such file.
  static absl::StatusOr<FileLock> Try(const Folder& folder, const std::string& name);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

  int descriptor() const { return descriptor_; }

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

class NameLock {
 public:
  // Of the folder `name` in `kind`; NotFound if there is none, as when it was deleted meanwhile.
  static absl::StatusOr<NameLock> Wait(const Folder& kind, const std::string& name);

  const Folder& folder() const { return folder_; }

  // The highest number that any version of the name ever had, so that numbers are never used again.
  // It is kept in the locked file; 0 if nothing is in there.
  std::uint64_t last_version() const;
  absl::Status SetLastVersion(std::uint64_t version);

 private:
  NameLock(Folder folder, FileLock lock) : folder_(std::move(folder)), lock_(std::move(lock)) {}

  Folder folder_;
  FileLock lock_;
};

}  // namespace model_store

#endif  // DUET_MODEL_STORE_NAME_LOCK_H_
