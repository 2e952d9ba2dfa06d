// The files that a command reads and writes.
#ifndef DUET_CLI_INPUT_FILES_H_
#define DUET_CLI_INPUT_FILES_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "dataset/findings.h"

namespace cli {

// A small file, such as a label config; "" for the path "". InvalidArgument with its name.
absl::StatusOr<std::string> ReadText(const std::string& path);

absl::Status MakeFolder(const std::string& path);

// The whole file or nothing.
absl::Status WriteFile(const std::string& path, std::string_view contents);

// The file of a task's image below the folder that --images names. `image` is what the task's data
// or COCO's file_name says: "/data/upload/1/a.jpg", "/data/local-files/?d=in/a%20b.jpg", a path, or
// an address, of which only the file's name counts. Tried are the whole path and what is left of it
// without its first folders, down to the name alone. NotFound; nothing outside of the folder is
// read.
absl::StatusOr<std::string> ReadImageFile(const std::string& folder, std::string_view image);

// The file's name in such an `image`: "a b.jpg".
std::string FileNameOf(std::string_view image);

// To stderr, one line each.
void PrintFindings(const dataset::Findings& findings);

}  // namespace cli

#endif  // DUET_CLI_INPUT_FILES_H_
