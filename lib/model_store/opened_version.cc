#include "model_store/opened_version.h"

#include <unistd.h>

#include <utility>

#include "text/str_cat.h"

namespace model_store {

OpenedVersion::OpenedVersion(OpenedVersion&& other) noexcept
    : manifest_(std::move(other.manifest_)),
      folder_(std::move(other.folder_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

OpenedVersion::~OpenedVersion() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::string OpenedVersion::model_path() const { return text::StrCat(folder_, "/", kModelFile); }

std::string OpenedVersion::model_handle() const {
  return text::StrCat("/proc/self/fd/", descriptor_);
}

}  // namespace model_store
