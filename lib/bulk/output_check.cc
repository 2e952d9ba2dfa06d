#include "bulk/output_check.h"

#include <sys/stat.h>

#include <filesystem>
#include <string_view>
#include <system_error>

#include "bulk/item.h"
#include "files/atomic_file.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

namespace fs = std::filesystem;
using text::StrCat;

// Whether a folder is where a disk is mounted: then it can't be replaced by another folder.
bool IsMountPoint(const fs::path& folder) {
  struct stat itself = {};
  struct stat parent = {};
  return stat(folder.c_str(), &itself) == 0 && stat((folder / "..").c_str(), &parent) == 0 &&
         (itself.st_dev != parent.st_dev || itself.st_ino == parent.st_ino);
}

absl::Status CantBe(const std::string& out, std::string_view what, std::string_view needed) {
  return absl::FailedPreconditionError(StrCat(Shown(out), " ", what, "; needed: ", needed));
}

}  // namespace

absl::Status CheckCanBeWritten(const OutputFormat& format, const std::string& out) {
  std::error_code error;
  const fs::file_status at = fs::status(out, error);
  if (format.writes_nothing) {
    // But failures are listed.
  } else if (format.is_folder) {
    if (fs::is_directory(at) && IsMountPoint(out)) {
      return CantBe(out, "is a disk of its own, which can't be replaced as a whole",
                    "--out=a folder below it");
    }
  } else if (fs::exists(at) && !fs::is_regular_file(at)) {
    return CantBe(out, fs::is_directory(at) ? "is a folder" : "is no file",
                  StrCat("--out=a file, since --format=", format.name, " writes one"));
  }
  const auto beside = files::AtomicFile::Create(FailuresPath(out));
  if (beside.ok() || absl::IsResourceExhausted(beside.status())) return absl::OkStatus();
  return absl::FailedPreconditionError(Shown(text::StdView(beside.status().message())));
}

}  // namespace bulk
