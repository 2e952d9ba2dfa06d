#include "cli/input_files.h"

#include <iostream>

#include "files/mapped_file.h"

namespace cli {

absl::StatusOr<std::string> ReadText(const std::string& path) {
  if (path.empty()) return std::string();
  auto file = files::MappedFile::Open(path);
  if (!file.ok()) return file.status();
  return std::string((*file)->bytes());
}

void PrintFindings(const dataset::Findings& findings) {
  for (const std::string& line : findings.Lines()) std::cerr << line << "\n";
}

}  // namespace cli
