// The files that a command reads and writes.
#ifndef DUET_CLI_INPUT_FILES_H_
#define DUET_CLI_INPUT_FILES_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <string>

#include "dataset/findings.h"

namespace cli {

// A small file, such as a label config; "" for the path "". InvalidArgument with its name.
absl::StatusOr<std::string> ReadText(const std::string& path);

// To stderr, one line each.
void PrintFindings(const dataset::Findings& findings);

}  // namespace cli

#endif  // DUET_CLI_INPUT_FILES_H_
