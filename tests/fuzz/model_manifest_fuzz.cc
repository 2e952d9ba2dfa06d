// A version's manifest.json: what is read of it is written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "model_store/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto read = model_store::ParseManifest({reinterpret_cast<const char*>(data), size});
  if (!read.ok()) return 0;
  const std::string text = model_store::ManifestText(*read);
  const auto again = model_store::ParseManifest(text);
  if (!again.ok() || model_store::ManifestText(*again) != text) std::abort();
  // No file is named that lies elsewhere.
  for (const model_store::StoredFile& file : read->files) {
    if (!model_store::IsFileName(file.name)) std::abort();
  }
  return 0;
}
