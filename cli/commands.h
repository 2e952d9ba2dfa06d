// The commands of `duet`: what is done with files at once, or asked of a gateway that runs.
#ifndef DUET_CLI_COMMANDS_H_
#define DUET_CLI_COMMANDS_H_

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/types/span.h>

#include <string>
#include <string_view>
#include <vector>

#include "serving/flags.h"

namespace cli {

struct Command {
  std::string_view name;
  std::string_view purpose;  // one line
  // `argv[0]` is the command's name. Prints to stdout what was done, and to stderr what was left
  // out; an error is for stderr.
  absl::Status (*run)(int argc, const char* const* argv);
  // What the process then ends with. 2: it was asked wrongly, or a file isn't what it has to be.
  int (*exit_code)(const absl::Status& status) = [](const absl::Status& status) {
    if (status.ok()) return 0;
    return absl::IsInvalidArgument(status) ? 2 : 1;
  };
};

// In the order of the help.
absl::Span<const Command> Commands();

// What all commands begin with: parses the command line into what `flags` was made for, and prints
// the help if that was asked for, else calls `run`.
absl::Status ParseAndRun(serving::FlagTable& flags, int argc, const char* const* argv,
                         absl::FunctionRef<absl::Status()> run);

// The check of a flag that lists classes: each has a name, and one of its own.
std::string CheckNames(const std::vector<std::string>& names);

absl::Status RunEmbed(int argc, const char* const* argv);
absl::Status RunExport(int argc, const char* const* argv);
absl::Status RunImport(int argc, const char* const* argv);
absl::Status RunMerge(int argc, const char* const* argv);
absl::Status RunModels(int argc, const char* const* argv);
absl::Status RunPredict(int argc, const char* const* argv);
absl::Status RunPrelabel(int argc, const char* const* argv);
// Of the commands for very many images: 0; 1 if some images failed, or the run was stopped; 2 if
// nothing could be done.
int BulkExitCode(const absl::Status& status);
absl::Status RunReview(int argc, const char* const* argv);
absl::Status RunRevision(int argc, const char* const* argv);
absl::Status RunTrain(int argc, const char* const* argv);

}  // namespace cli

#endif  // DUET_CLI_COMMANDS_H_
