#include "cli/commands.h"

#include <array>
#include <cstdlib>
#include <iostream>

namespace cli {

absl::Span<const Command> Commands() {
  static constexpr std::array<Command, 3> kCommands = {{
      {"export", "annotations of Label Studio as COCO", RunExport},
      {"import", "COCO as tasks for Label Studio", RunImport},
      {"revision", "annotated images, split and frozen for a training", RunRevision},
  }};
  return kCommands;
}

absl::Status ParseAndRun(serving::FlagTable& flags, int argc, const char* const* argv,
                         absl::FunctionRef<absl::Status()> run) {
  absl::Status status = flags.Parse(argc, argv, getenv);
  if (!status.ok()) return status;
  if (flags.help_requested()) {
    std::cout << flags.RequestedHelp();
    return absl::OkStatus();
  }
  return run();
}

}  // namespace cli
