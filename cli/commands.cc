#include "cli/commands.h"

#include <absl/container/flat_hash_set.h>

#include <array>
#include <cstdlib>
#include <iostream>

#include "text/str_cat.h"

namespace cli {

absl::Span<const Command> Commands() {
  static constexpr std::array<Command, 10> kCommands = {{
      {"embed", "images encoded before somebody clicks into them", RunEmbed, BulkExitCode},
      {"export", "annotations of Label Studio as COCO", RunExport},
      {"import", "COCO as tasks for Label Studio", RunImport},
      {"merge", "what several machines did of a bulk run, put together", RunMerge, BulkExitCode},
      {"models", "trained models: which there are, and which of them serve", RunModels},
      {"predict", "what is in a few pictures: a list, drawn, as JSON", RunPredict, BulkExitCode},
      {"prelabel", "the objects of very many images: folders, lists, COCO", RunPrelabel,
       BulkExitCode},
      {"review", "annotations that the project's model contradicts", RunReview},
      {"revision", "annotated images, split and frozen for a training", RunRevision},
      {"train", "a training of what is annotated in Label Studio", RunTrain},
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

std::string CheckNames(const std::vector<std::string>& names) {
  absl::flat_hash_set<std::string_view> seen;
  for (const std::string& name : names) {
    if (name.empty()) return "has an empty name in it; names have one comma between them";
    if (!seen.insert(name).second) return text::StrCat("has the name '", name, "' twice");
  }
  return "";
}

}  // namespace cli
