// Builds zip archives byte by byte, honest and hostile ones.
#ifndef DUET_TESTS_TESTING_ZIP_FILES_H_
#define DUET_TESTS_TESTING_ZIP_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/byte_order.h"

namespace checkpoint::testing {

struct ZipFileEntry {
  std::string name;
  std::string payload;
  std::uint16_t method = 0;
  std::int64_t offset_shift = 0;  // added to the header's offset in the directory
  std::int64_t size_shift = 0;    // added to both sizes in the directory
  bool zip64 = false;             // sizes and offset in a zip64 extra field
};

struct ZipOptions {
  std::string comment;
  std::uint16_t extra_entries = 0;  // in the end record's count
  bool zip64_end = false;
};

inline std::string Zip(const std::vector<ZipFileEntry>& entries, const ZipOptions& options = {}) {
  std::string out;
  std::string directory;
  for (const ZipFileEntry& entry : entries) {
    const std::uint64_t offset = out.size() + static_cast<std::uint64_t>(entry.offset_shift);
    const std::uint64_t size = entry.payload.size() + static_cast<std::uint64_t>(entry.size_shift);
    const auto name_size = static_cast<std::uint16_t>(entry.name.size());
    // As torch.save: flag bit 3, sizes only in the directory (and after the payload, where nobody
    // looks).
    out += "PK\x03\x04";
    for (const std::uint16_t field : {0, 8, int{entry.method}, 0, 0})
      AppendLittleEndian(out, field);
    for (const std::uint32_t field : {0, 0, 0}) AppendLittleEndian(out, field);
    AppendLittleEndian(out, name_size);
    AppendLittleEndian(out, std::uint16_t{5});
    out += entry.name + "extra" + entry.payload;

    std::string extra;
    if (entry.zip64) {
      AppendLittleEndian(extra, std::uint16_t{1});
      AppendLittleEndian(extra, std::uint16_t{24});
      for (const std::uint64_t number : {size, size, offset}) AppendLittleEndian(extra, number);
    }
    const auto narrow = [&entry](std::uint64_t number) {
      return entry.zip64 ? 0xffffffffu : static_cast<std::uint32_t>(number);
    };
    directory += "PK\x01\x02";
    for (const std::uint16_t field : {0, 0, 8, int{entry.method}, 0, 0}) {
      AppendLittleEndian(directory, field);
    }
    // A CRC: any but 0, which means that the writer computed none.
    std::uint32_t crc = 1;
    for (const char c : entry.payload) crc = crc * 31 + static_cast<unsigned char>(c);
    for (const std::uint32_t field : {crc, narrow(size), narrow(size)}) {
      AppendLittleEndian(directory, field);
    }
    for (const std::uint16_t field : {name_size, static_cast<std::uint16_t>(extra.size()),
                                      std::uint16_t{0}, std::uint16_t{0}, std::uint16_t{0}}) {
      AppendLittleEndian(directory, field);
    }
    AppendLittleEndian(directory, std::uint32_t{0});
    AppendLittleEndian(directory, narrow(offset));
    directory += entry.name + extra;
  }

  const std::uint64_t directory_offset = out.size();
  const auto count = static_cast<std::uint16_t>(entries.size() + options.extra_entries);
  out += directory;
  if (options.zip64_end) {
    const std::uint64_t end64 = out.size();
    out += "PK\x06\x06";
    AppendLittleEndian(out, std::uint64_t{44});
    for (const std::uint16_t field : {45, 45}) AppendLittleEndian(out, field);
    for (const std::uint32_t field : {0, 0}) AppendLittleEndian(out, field);
    for (const std::uint64_t field : {std::uint64_t{count}, std::uint64_t{count},
                                      std::uint64_t{directory.size()}, directory_offset}) {
      AppendLittleEndian(out, field);
    }
    out += "PK\x06\x07";
    AppendLittleEndian(out, std::uint32_t{0});
    AppendLittleEndian(out, end64);
    AppendLittleEndian(out, std::uint32_t{1});
  }
  out += "PK\x05\x06";
  const std::uint16_t shown = options.zip64_end ? 0xffff : count;
  for (const std::uint16_t field : {std::uint16_t{0}, std::uint16_t{0}, shown, shown}) {
    AppendLittleEndian(out, field);
  }
  for (const std::uint64_t field : {std::uint64_t{directory.size()}, directory_offset}) {
    AppendLittleEndian(out, options.zip64_end ? 0xffffffffu : static_cast<std::uint32_t>(field));
  }
  AppendLittleEndian(out, static_cast<std::uint16_t>(options.comment.size()));
  return out + options.comment;
}

}  // namespace checkpoint::testing

#endif  // DUET_TESTS_TESTING_ZIP_FILES_H_
