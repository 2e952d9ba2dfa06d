#include "bulk/folder_output.h"

#include <absl/strings/match.h>
#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "hash/fnv.h"
#include "text/str_cat.h"
#include "text/url.h"

namespace bulk {
namespace {

namespace fs = std::filesystem;
using text::StrAppend;
using text::StrCat;

absl::Status FileError(const std::error_code& error, std::string_view path) {
  return absl::ErrnoToStatus(error.value(), StrCat(Shown(path), ": cannot be written"));
}

// Of a part of a path, and of all of it below the folder, so that file systems take it.
constexpr std::size_t kLongestName = 255;
constexpr std::size_t kLongestPath = 2000;

std::string HashText(std::string_view text) { return absl::StrFormat("%016x", hash::Fnv1a(text)); }

// A part of a path with an ending, cut if need be; then a hash of all of it tells it from others.
std::string Fitting(std::string_view name, std::string_view ending) {
  if (name.size() + ending.size() <= kLongestName) return StrCat(name, ending);
  const std::string end = StrCat("-", HashText(name), ending);
  return StrCat(name.substr(0, kLongestName - end.size()), end);
}

}  // namespace

absl::StatusOr<FolderOutput> FolderOutput::Begin(const Results& results,
                                                 const OutputOptions& options) {
  FolderOutput output(results.folder.path() + "/output", WithoutSlashes(options.out),
                      results.folder.path() + "/former");
  std::error_code error;
  fs::remove_all(output.making_, error);
  fs::create_directory(output.making_, error);
  if (error) return FileError(error, output.making_);
  return output;
}

absl::Status FolderOutput::Write(const std::string& path, std::string_view contents) const {
  const std::string whole = StrCat(making_, "/", path);
  std::error_code error;
  fs::create_directories(fs::path(whole).parent_path(), error);
  if (error) return FileError(error, whole);
  const int file = open(whole.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  int failure = file < 0 ? errno : 0;
  while (failure == 0 && !contents.empty()) {
    const ssize_t written = write(file, contents.data(), contents.size());
    if (written >= 0) contents.remove_prefix(static_cast<std::size_t>(written));
    if (written < 0 && errno != EINTR) failure = errno;
  }
  if (file >= 0 && close(file) != 0 && failure == 0) failure = errno;
  if (failure == 0) return absl::OkStatus();
  return FileError(std::error_code(failure, std::generic_category()), whole);
}

absl::StatusOr<std::string> FolderOutput::WriteOf(const Item& item, std::string_view folder,
                                                  std::string_view ending,
                                                  std::string_view contents,
                                                  dataset::Findings* findings) const {
  std::string path = PathFor(item, ending);
  absl::Status status = Write(StrCat(folder, "/", path), contents);
  if (absl::IsAlreadyExists(status)) {
    findings->Add("images whose names differ in their endings alone, so that a number was added",
                  StrCat("'", Shown(item.name), "'"));
  }
  for (int more = 0; absl::IsAlreadyExists(status); ++more) {
    path = PathFor(item, StrCat(".", item.index, more == 0 ? "" : StrCat("-", more), ending));
    status = Write(StrCat(folder, "/", path), contents);
  }
  if (!status.ok()) return status;
  return path;
}

absl::Status FolderOutput::Commit() const {
  // All of it is on the disk before it has its name.
  const int folder = open(making_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = folder >= 0 && syncfs(folder) == 0;
  std::error_code error(synced ? 0 : errno, std::generic_category());
  if (folder >= 0) close(folder);
  if (error) return FileError(error, making_);
  fs::remove_all(former_, error);
  fs::rename(out_, former_, error);  // what an earlier run of the command left, or an empty folder
  fs::rename(making_, out_, error);
  if (error) return FileError(error, out_);
  fs::remove_all(former_, error);
  return absl::OkStatus();
}

std::string PathFor(const Item& item, std::string_view ending) {
  std::string name = item.name;
  if (IsAddress(name)) {
    const auto scheme = name.find("://");
    const bool is_url = absl::StartsWithIgnoreCase(name, "http");
    name = scheme == std::string::npos ? "image" : name.substr(scheme + 3);
    // The key of an object stands in its address as it is.
    if (is_url) {
      name = text::PercentDecode(name.substr(0, name.find_first_of("?#")), /*plus_is_space=*/false);
    }
  }
  std::vector<std::string> parts;
  for (const fs::path& part : fs::path(name).relative_path().lexically_normal()) {
    if (part != ".." && part != "." && !part.empty()) parts.push_back(part.native());
  }
  if (parts.empty()) parts.emplace_back();
  parts.back() = fs::path(parts.back()).replace_extension().native();
  std::string path;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    StrAppend(&path, i > 0 ? "/" : "", Fitting(parts[i], i + 1 < parts.size() ? "" : ending));
  }
  if (path.size() <= kLongestPath) return path;
  return StrCat(HashText(path), ending);
}

}  // namespace bulk
