#include "cli/input_files.h"

#include <filesystem>
#include <iostream>
#include <system_error>

#include "files/mapped_file.h"
#include "text/str_cat.h"

namespace cli {

absl::StatusOr<std::string> ReadText(const std::string& path) {
  if (path.empty()) return std::string();
  auto file = files::MappedFile::Open(path);
  if (!file.ok()) return file.status();
  return std::string((*file)->bytes());
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::InvalidArgumentError(
      text::StrCat(path, ": cannot make the folder: ", error.message()));
}

void PrintFindings(const dataset::Findings& findings) {
  for (const std::string& line : findings.Lines()) std::cerr << line << "\n";
}

}  // namespace cli
