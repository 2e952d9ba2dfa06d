// duet COMMAND [--flag=value …]
#include <absl/status/status.h>

#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.h"
#include "serving/cpu.h"
#include "serving/version.h"
#include "text/nearest_name.h"

namespace cli {
namespace {

void PrintHelp() {
  std::cout << "usage: duet COMMAND [--flag=value ...]\n\n";
  for (const Command& command : Commands()) {
    std::cout << "  " << command.name << std::string(10 - command.name.size(), ' ')
              << command.purpose << "\n";
  }
  std::cout
      << "\nEach says more with --help. Exit code 0: done; 1: something failed; 2: asked "
         "wrongly, or nothing could be done.\n\nExample: duet predict street.jpg -o out.png\n";
}

// 0; 1 for what went wrong; 2 for what was asked wrongly; as each command says.
int Run(int argc, const char* const* argv) {
  if (serving::PrintedVersion("duet", argc, argv)) return 0;
  const std::string_view name = argc > 1 ? argv[1] : "--help";
  if (name == "--help" || name == "-h") {
    PrintHelp();
    return 0;
  }
  for (const Command& command : Commands()) {
    if (command.name != name) continue;
    const absl::Status status = command.run(argc - 1, argv + 1);
    if (!status.ok()) std::cerr << "duet " << name << ": " << status.message() << "\n";
    return command.exit_code(status);
  }
  std::vector<std::string_view> names;
  for (const Command& command : Commands()) names.push_back(command.name);
  std::cerr << "duet: unknown command '" << name << "'; duet --help lists the commands"
            << text::DidYouMean(name, names, "'", "'") << "\n";
  return 2;
}

}  // namespace
}  // namespace cli

int main(int argc, char** argv) {
  serving::SetOpenMpVariables();  // of the services that a command starts
  return cli::Run(argc, argv);
}
