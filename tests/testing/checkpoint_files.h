// Builds .pth files, zip and legacy ones, around a pickled object and its storages.
#ifndef DUET_TESTS_TESTING_CHECKPOINT_FILES_H_
#define DUET_TESTS_TESTING_CHECKPOINT_FILES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/testing/pickles.h"
#include "tests/testing/zip_files.h"

namespace checkpoint::testing {

// Key and bytes of each storage that an object refers to.
using StorageBytes = std::vector<std::pair<std::string, std::string>>;

inline std::string ZipPth(const std::string& object, const StorageBytes& storages,
                          const std::vector<ZipFileEntry>& more_entries = {}) {
  std::vector<ZipFileEntry> entries = {{.name = "archive/data.pkl", .payload = Program(object)}};
  for (const auto& [key, bytes] : storages) {
    entries.push_back({.name = "archive/data/" + key, .payload = bytes});
  }
  entries.insert(entries.end(), more_entries.begin(), more_entries.end());
  return Zip(entries);
}

inline constexpr std::string_view kLegacyMagicPickle(
    "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);

// Elements of `element_size` bytes each.
inline std::string LegacyPth(const std::string& object, const StorageBytes& storages,
                             std::size_t element_size = 4,
                             const std::string& little_endian = "\x88") {
  std::vector<std::string> keys;
  for (const auto& [key, bytes] : storages) keys.push_back(Str(key));
  std::string out(kLegacyMagicPickle);
  out += Program(Int(1001));
  out += Program(Dict({Str("protocol_version"), Int(1001), Str("little_endian"), little_endian}));
  out += Program(object);
  out += Program(List(keys));
  for (const auto& [key, bytes] : storages) {
    AppendLittleEndian(out, std::uint64_t{bytes.size() / element_size});
    out += bytes;
  }
  return out;
}

}  // namespace checkpoint::testing

#endif  // DUET_TESTS_TESTING_CHECKPOINT_FILES_H_
