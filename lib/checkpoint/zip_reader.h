// The directory of a zip archive as torch.save writes it: every entry is stored, not compressed, so
// an entry's payload is a window into the file. Reads zip64 too.
#ifndef DUET_CHECKPOINT_ZIP_READER_H_
#define DUET_CHECKPOINT_ZIP_READER_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace checkpoint {

struct ZipEntry {
  std::string_view name;
  std::string_view payload;  // empty if `compressed`
  std::uint64_t size = 0;    // of the payload, uncompressed
  std::uint32_t crc32 = 0;   // as the directory says; not checked. Writers may leave it 0.
  bool compressed = false;   // or encrypted: its payload can't be used in place
};

// In the directory's order. Everything points into `file`. InvalidArgument unless all entries lie
// inside of the file, don't overlap one another or the directory, and have different names.
absl::StatusOr<std::vector<ZipEntry>> ReadZipDirectory(std::string_view file);

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_ZIP_READER_H_
