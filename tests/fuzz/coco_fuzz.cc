// A COCO file: what is read of it is written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dataset/coco_reader.h"
#include "dataset/coco_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  dataset::Findings findings;
  const auto read = dataset::ReadCoco(json, {}, &findings);
  if (!read.ok()) return 0;
  const auto again = dataset::ReadCoco(dataset::WriteCoco(*read, {}, &findings), {}, &findings);
  // What was readable stays so.
  if (!again.ok() || again->samples.size() != read->samples.size()) std::abort();
  return 0;
}
