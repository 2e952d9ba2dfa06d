// Builds checkpoint files byte by byte, honest and hostile ones: pickles from their opcodes, zip
// archives and legacy .pth files around them.
#ifndef DUET_TESTS_TESTING_CHECKPOINT_FILES_H_
#define DUET_TESTS_TESTING_CHECKPOINT_FILES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/byte_order.h"

namespace checkpoint::testing {

// ---- Pickles: each function returns the opcodes that leave one value on the stack.

inline std::string Str(std::string_view text) {
  std::string out = "X";
  AppendLittleEndian(out, static_cast<std::uint32_t>(text.size()));
  return out.append(text);
}

inline std::string Int(std::int64_t value) {
  std::string out = "\x8a\x08";
  AppendLittleEndian(out, value);
  return out;
}

inline std::string None() { return "N"; }

inline std::string Join(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += part;
  return out;
}

inline std::string Tuple(const std::vector<std::string>& items) { return "(" + Join(items) + "t"; }
inline std::string List(const std::vector<std::string>& items) { return "](" + Join(items) + "e"; }

// Keys and values in turn.
inline std::string Dict(const std::vector<std::string>& items) { return "}(" + Join(items) + "u"; }

inline std::string Ints(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(Int(value));
  return Tuple(items);
}

inline std::string Global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

inline std::string Call(const std::string& function, const std::vector<std::string>& arguments) {
  return function + Tuple(arguments) + "R";
}

inline std::string OrderedDict(const std::vector<std::string>& items) {
  return Call(Global("collections", "OrderedDict"), {}) + "(" + Join(items) + "u";
}

inline std::string Program(const std::string& value) { return "\x80\x02" + value + "."; }

// ---- Tensors in a pickle.

// `view` is the sixth element of a legacy file's reference; leave it out for the zip format.
inline std::string Storage(const std::string& key, std::int64_t numel,
                           const std::string& type = "FloatStorage", const std::string& view = "") {
  std::vector<std::string> id = {Str("storage"), Global("torch", type), Str(key), Str("cpu"),
                                 Int(numel)};
  if (!view.empty()) id.push_back(view);
  return Tuple(id) + "Q";
}

inline std::string Tensor(const std::string& storage, std::int64_t offset,
                          const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& strides) {
  return Call(Global("torch._utils", "_rebuild_tensor_v2"),
              {storage, Int(offset), Ints(shape), Ints(strides), "\x89", OrderedDict({})});
}

// ---- Zip archives.

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

// ---- .pth files around a pickled object and storages (key, bytes).

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

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  std::string out;
  for (const T value : values) AppendLittleEndian(out, value);
  return out;
}

}  // namespace checkpoint::testing

#endif  // DUET_TESTS_TESTING_CHECKPOINT_FILES_H_
