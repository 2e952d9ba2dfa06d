// A verified version whose weights are in memory, as they were when they were verified. A file that
// is mapped from the model root could be cut off by somebody while the model uses it, which would
// kill the process.
#ifndef DUET_MODEL_STORE_OPENED_VERSION_H_
#define DUET_MODEL_STORE_OPENED_VERSION_H_

#include <string>
#include <utility>

#include "model_store/manifest.h"

namespace model_store {

// Movable.
class OpenedVersion {
 public:
  OpenedVersion(OpenedVersion&& other) noexcept;
  OpenedVersion& operator=(OpenedVersion&&) = delete;
  ~OpenedVersion();

  const Manifest& manifest() const { return manifest_; }
  // The version's folder.
  const std::string& folder() const { return folder_; }
  // Where the weights lie, for messages and for what lies beside them.
  std::string model_path() const;
  // A name under which the copy in memory can be opened for as long as this object lives. What is
  // mapped from it stays valid afterwards.
  std::string model_handle() const;

 private:
  friend class ModelStore;
  OpenedVersion(Manifest manifest, std::string folder, int descriptor)
      : manifest_(std::move(manifest)), folder_(std::move(folder)), descriptor_(descriptor) {}

  Manifest manifest_;
  std::string folder_;
  int descriptor_;
};

}  // namespace model_store

#endif  // DUET_MODEL_STORE_OPENED_VERSION_H_
