// A folder that is held open. What is in it is opened by single names and without following
// symbolic links, so that nobody who may write there leads a process out of it. For this room only.
#ifndef DUET_MODEL_STORE_FOLDER_H_
#define DUET_MODEL_STORE_FOLDER_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model_store/manifest.h"

namespace model_store {

// Messages start with the path that they are about. Movable.
class Folder {
 public:
  // NotFound; FailedPrecondition: no folder; PermissionDenied. Links are followed: the path is the
  // operator's.
  static absl::StatusOr<Folder> Open(const std::string& path);

  Folder(Folder&& other) noexcept;
  Folder& operator=(Folder&& other) noexcept;
  ~Folder();

  const std::string& path() const { return path_; }
  std::string PathOf(std::string_view name) const;
  int descriptor() const { return descriptor_; }

  // As Open, of a folder in this one; FailedPrecondition for a symbolic link, too.
  absl::StatusOr<Folder> Sub(const std::string& name) const;
  // Makes it if it doesn't exist.
  absl::StatusOr<Folder> SubOrNew(const std::string& name) const;

  // Without "." and "..", sorted.
  absl::StatusOr<std::vector<std::string>> Names() const;

  // NotFound; FailedPrecondition: a link, or no regular file; InvalidArgument: larger.
  absl::StatusOr<std::string> ReadText(const std::string& name, std::size_t max_bytes) const;
  // Reads all of a regular file. `sync`: also makes it durable.
  absl::StatusOr<StoredFile> Measure(const std::string& name, bool sync) const;

  // The same, and writes what it reads to the open file `copy`.
  absl::StatusOr<StoredFile> CopyTo(int copy, const std::string& name) const;

  // Makes the names in it durable.
  absl::Status Sync() const;
  // Whether `name` in this folder is the very folder `other`.
  bool Has(const std::string& name, const Folder& other) const;

 private:
  Folder(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  absl::StatusOr<int> OpenFile(const std::string& name) const;

  int descriptor_;
  std::string path_;
};

}  // namespace model_store

#endif  // DUET_MODEL_STORE_FOLDER_H_
