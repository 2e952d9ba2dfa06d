#include "serving/program_beside.h"

#include <filesystem>
#include <system_error>

namespace serving {

std::string ProgramBeside(std::string_view name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / name).native();
}

}  // namespace serving
