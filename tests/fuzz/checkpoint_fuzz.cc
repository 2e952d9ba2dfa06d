// Whole files of every format; reads each tensor that was found.
#include <cstddef>
#include <cstdint>
#include <string>

#include "checkpoint/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file =
      checkpoint::ParseCheckpoint({reinterpret_cast<const char*>(data), size}, nullptr);
  if (!file.ok()) return 0;
  std::string scratch;
  volatile char sink = 0;
  for (const auto& [name, view] : file->state_dict) {
    for (const char byte : checkpoint::ContiguousBytes(view, scratch)) sink = sink ^ byte;
  }
  return 0;
}
