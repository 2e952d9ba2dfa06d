#include "serving/version.h"

#include <algorithm>
#include <iostream>

namespace serving {

std::string_view Version() { return DUET_VERSION; }

bool PrintedVersion(std::string_view program, int argc, const char* const* argv) {
  const auto is_version = [](std::string_view argument) { return argument == "--version"; };
  if (std::none_of(argv + std::min(argc, 1), argv + argc, is_version)) return false;
  std::cout << program << " " << Version() << "\n";
  return true;
}

}  // namespace serving
