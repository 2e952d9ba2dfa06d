#include "checkpoint/zip_reader.h"

#include <absl/container/flat_hash_set.h>
#include <absl/status/status.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "checkpoint/byte_order.h"
#include "text/str_cat.h"

namespace checkpoint {
namespace {

using text::StrCat;

// Sizes without the variable parts, and signatures: APPNOTE.TXT 4.3.7 (local header), 4.3.12
// (directory entry), 4.3.14 and 4.3.15 (zip64 end record and its locator), 4.3.16 (end record).
constexpr std::size_t kLocalHeaderSize = 30;
constexpr std::size_t kEntrySize = 46;
constexpr std::size_t kZip64EndSize = 56;
constexpr std::size_t kZip64LocatorSize = 20;
constexpr std::size_t kEndSize = 22;
constexpr std::size_t kMaxCommentSize = 0xffff;
constexpr std::string_view kLocalHeaderSignature = "PK\x03\x04";
constexpr std::string_view kEntrySignature = "PK\x01\x02";
constexpr std::string_view kZip64EndSignature = "PK\x06\x06";
constexpr std::string_view kZip64LocatorSignature = "PK\x06\x07";
constexpr std::string_view kEndSignature = "PK\x05\x06";

// "The real number is in the zip64 record."
constexpr std::uint32_t kIn64 = 0xffffffff;
constexpr std::uint16_t kZip64ExtraField = 1;

absl::Status Damaged(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("damaged or truncated zip archive: ", what));
}

struct Directory {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t entries = 0;
};

// Whether [offset, offset + size) lies in a file of `file_size` bytes.
bool Inside(std::uint64_t offset, std::uint64_t size, std::uint64_t file_size) {
  return offset <= file_size && size <= file_size - offset;
}

absl::StatusOr<Directory> FindDirectory(std::string_view file) {
  if (file.size() < kEndSize) return Damaged("no end record");
  const std::size_t tail = file.size() - std::min(file.size(), kEndSize + kMaxCommentSize);
  const std::size_t end = file.rfind(kEndSignature, file.size() - kEndSize);
  if (end == std::string_view::npos || end < tail) return Damaged("no end record");

  const char* record = file.data() + end;
  Directory directory{.offset = LoadLittleEndian<std::uint32_t>(record + 16),
                      .size = LoadLittleEndian<std::uint32_t>(record + 12),
                      .entries = LoadLittleEndian<std::uint16_t>(record + 10)};
  std::uint64_t limit = end;
  if (end >= kZip64LocatorSize &&
      file.substr(end - kZip64LocatorSize).starts_with(kZip64LocatorSignature)) {
    const auto end64 = LoadLittleEndian<std::uint64_t>(file.data() + end - kZip64LocatorSize + 8);
    if (!Inside(end64, kZip64EndSize, end - kZip64LocatorSize) ||
        !file.substr(end64).starts_with(kZip64EndSignature)) {
      return Damaged("no zip64 end record where its locator points");
    }
    record = file.data() + end64;
    directory = {.offset = LoadLittleEndian<std::uint64_t>(record + 48),
                 .size = LoadLittleEndian<std::uint64_t>(record + 40),
                 .entries = LoadLittleEndian<std::uint64_t>(record + 32)};
    limit = end64;
  }
  if (!Inside(directory.offset, directory.size, limit)) {
    return Damaged(StrCat("the directory (", directory.size, " bytes from ", directory.offset,
                          ") is outside of the file"));
  }
  if (directory.entries > directory.size / kEntrySize) {
    return Damaged(
        StrCat(directory.entries, " entries in a directory of ", directory.size, " bytes"));
  }
  return directory;
}

// What a directory entry says about its payload.
struct Extent {
  std::uint64_t uncompressed = 0;
  std::uint64_t compressed = 0;
  std::uint64_t header_offset = 0;
};

// Replaces those numbers of `extent` that don't fit 32 bits by the ones in the zip64 extra field:
// in this order, only those.
bool ApplyZip64(std::string_view extra, Extent& extent) {
  while (extra.size() >= 4) {
    const auto id = LoadLittleEndian<std::uint16_t>(extra.data());
    const auto size = LoadLittleEndian<std::uint16_t>(extra.data() + 2);
    extra.remove_prefix(4);
    if (size > extra.size()) return false;
    if (id == kZip64ExtraField) {
      std::string_view numbers = extra.substr(0, size);
      for (std::uint64_t* number :
           {&extent.uncompressed, &extent.compressed, &extent.header_offset}) {
        if (*number != kIn64) continue;
        if (numbers.size() < 8) return false;
        *number = LoadLittleEndian<std::uint64_t>(numbers.data());
        numbers.remove_prefix(8);
      }
      return true;
    }
    extra.remove_prefix(size);
  }
  return true;
}

using Span = std::pair<std::uint64_t, std::uint64_t>;  // begin, end; offsets in the file

// Where the payload is, by the local header: its name and extra field may differ in length from the
// directory's (torch pads it so that payloads are aligned).
absl::StatusOr<Span> LocatePayload(std::string_view file, std::string_view name,
                                   const Extent& extent) {
  if (!Inside(extent.header_offset, kLocalHeaderSize, file.size()) ||
      !file.substr(extent.header_offset).starts_with(kLocalHeaderSignature)) {
    return Damaged(StrCat("entry '", name, "' has no header at ", extent.header_offset));
  }
  const char* header = file.data() + extent.header_offset;
  const std::uint64_t begin = extent.header_offset + kLocalHeaderSize +
                              LoadLittleEndian<std::uint16_t>(header + 26) +
                              LoadLittleEndian<std::uint16_t>(header + 28);
  if (!Inside(begin, extent.compressed, file.size())) {
    return Damaged(StrCat("entry '", name, "' (", extent.compressed, " bytes from ", begin,
                          ") ends after the file's ", file.size(), " bytes"));
  }
  return Span{begin, begin + extent.compressed};
}

}  // namespace

absl::StatusOr<std::vector<ZipEntry>> ReadZipDirectory(std::string_view file) {
  absl::StatusOr<Directory> directory = FindDirectory(file);
  if (!directory.ok()) return directory.status();

  std::vector<ZipEntry> entries;
  entries.reserve(directory->entries);
  std::vector<Span> spans = {{directory->offset, directory->offset + directory->size}};
  absl::flat_hash_set<std::string_view> names;
  std::string_view rest = file.substr(directory->offset, directory->size);
  for (std::uint64_t i = 0; i < directory->entries; ++i) {
    if (rest.size() < kEntrySize || !rest.starts_with(kEntrySignature)) {
      return Damaged(StrCat("directory entry ", i, " of ", directory->entries));
    }
    const char* header = rest.data();
    const auto flags = LoadLittleEndian<std::uint16_t>(header + 8);
    const auto method = LoadLittleEndian<std::uint16_t>(header + 10);
    const std::size_t name_size = LoadLittleEndian<std::uint16_t>(header + 28);
    const std::size_t extra_size = LoadLittleEndian<std::uint16_t>(header + 30);
    const std::size_t comment_size = LoadLittleEndian<std::uint16_t>(header + 32);
    if (rest.size() - kEntrySize < name_size + extra_size + comment_size) {
      return Damaged(StrCat("directory entry ", i, " of ", directory->entries));
    }
    ZipEntry entry{.name = rest.substr(kEntrySize, name_size),
                   .crc32 = LoadLittleEndian<std::uint32_t>(header + 16)};
    Extent extent{.uncompressed = LoadLittleEndian<std::uint32_t>(header + 24),
                  .compressed = LoadLittleEndian<std::uint32_t>(header + 20),
                  .header_offset = LoadLittleEndian<std::uint32_t>(header + 42)};
    if (!ApplyZip64(rest.substr(kEntrySize + name_size, extra_size), extent)) {
      return Damaged(StrCat("zip64 field of entry '", entry.name, "'"));
    }
    absl::StatusOr<Span> span = LocatePayload(file, entry.name, extent);
    if (!span.ok()) return span.status();
    if (!names.insert(entry.name).second) {
      return Damaged(StrCat("two entries named '", entry.name, "'"));
    }
    constexpr std::uint16_t kEncrypted = 1;
    entry.compressed = method != 0 || (flags & kEncrypted) != 0;
    entry.size = extent.uncompressed;
    if (!entry.compressed) {
      if (extent.compressed != extent.uncompressed) {
        return Damaged(StrCat("stored entry '", entry.name, "' of ", extent.compressed, " and of ",
                              extent.uncompressed, " bytes"));
      }
      entry.payload = file.substr(span->first, extent.compressed);
    }
    spans.emplace_back(extent.header_offset, span->second);
    entries.push_back(entry);
    rest.remove_prefix(kEntrySize + name_size + extra_size + comment_size);
  }

  std::sort(spans.begin(), spans.end());
  for (std::size_t i = 1; i < spans.size(); ++i) {
    if (spans[i].first < spans[i - 1].second) {
      return Damaged(StrCat("parts that overlap at ", spans[i].first));
    }
  }
  return entries;
}

}  // namespace checkpoint
