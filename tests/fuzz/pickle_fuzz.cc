#include <cstddef>
#include <cstdint>

#include "checkpoint/pickle_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto pickle = checkpoint::ReadPickle({reinterpret_cast<const char*>(data), size});
  if (pickle.ok()) checkpoint::FindKey(*pickle->root, "state_dict");
  return 0;
}
