#include <cstddef>
#include <cstdint>

#include "checkpoint/content_hash.h"
#include "checkpoint/zip_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  const auto entries = checkpoint::ReadZipDirectory(file);
  if (!entries.ok()) return 0;
  for (const auto& entry : *entries) checkpoint::HashBytes(entry.payload);  // reads all of it
  return 0;
}
