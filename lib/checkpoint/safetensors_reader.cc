#include "checkpoint/safetensors_reader.h"

#include <absl/status/status.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/byte_order.h"
#include "text/str_cat.h"

namespace checkpoint {
namespace {

using text::StrCat;

namespace json = boost::json;

// Far above any real header (600 tensors make 60 kB), and it bounds what a hostile one can make of
// itself: two bytes of JSON ("0,") become a value of 24.
constexpr std::uint64_t kMaxHeaderSize = std::uint64_t{4} << 20;
constexpr std::size_t kMaxRank = 64;

absl::Status Invalid(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("safetensors: ", what));
}

std::string_view ToView(const json::string& text) { return {text.data(), text.size()}; }

std::optional<DType> DTypeOf(std::string_view name) {
  if (name == "F32") return DType::kFloat32;
  if (name == "F64") return DType::kFloat64;
  if (name == "F16") return DType::kFloat16;
  if (name == "BF16") return DType::kBFloat16;
  if (name == "I64") return DType::kInt64;
  if (name == "I32") return DType::kInt32;
  if (name == "I16") return DType::kInt16;
  if (name == "I8") return DType::kInt8;
  if (name == "U8") return DType::kUInt8;
  if (name == "BOOL") return DType::kBool;
  return std::nullopt;
}

// The array `key` of `object` as non-negative numbers.
std::optional<std::vector<std::int64_t>> Numbers(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_array() || value->get_array().size() > kMaxRank) {
    return std::nullopt;
  }
  std::vector<std::int64_t> numbers;
  for (const json::value& item : value->get_array()) {
    if (!item.is_int64() || item.get_int64() < 0) return std::nullopt;
    numbers.push_back(item.get_int64());
  }
  return numbers;
}

// A tensor and where its bytes end.
struct Entry {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::string name;
  TensorView view;
};

absl::StatusOr<Entry> ReadEntry(std::string_view name, const json::value& value,
                                std::string_view data, const std::shared_ptr<const void>& owner) {
  const json::object* object = value.if_object();
  const json::value* dtype_name = object == nullptr ? nullptr : object->if_contains("dtype");
  if (dtype_name == nullptr || !dtype_name->is_string()) {
    return Invalid(StrCat("tensor '", name, "' without a dtype"));
  }
  const std::optional<DType> dtype = DTypeOf(ToView(dtype_name->get_string()));
  if (!dtype.has_value()) {
    return Invalid(
        StrCat("tensor '", name, "' of an unsupported type ", ToView(dtype_name->get_string())));
  }
  auto shape = Numbers(*object, "shape");
  const auto range = Numbers(*object, "data_offsets");
  if (!shape.has_value() || !range.has_value() || range->size() != 2) {
    return Invalid(StrCat("tensor '", name, "' with a damaged shape or data_offsets"));
  }
  const std::int64_t begin = (*range)[0];
  const std::int64_t end = (*range)[1];
  std::int64_t size = static_cast<std::int64_t>(SizeOf(*dtype));
  bool overflow = false;
  for (const std::int64_t extent : *shape) overflow |= __builtin_mul_overflow(size, extent, &size);
  if (overflow || begin > end || static_cast<std::uint64_t>(end) > data.size() ||
      size != end - begin) {
    return Invalid(StrCat("tensor '", name, "' at bytes ", begin, " to ", end, " of ", data.size(),
                          " doesn't fit its shape, or the file is truncated"));
  }

  TensorView view{.dtype = *dtype,
                  .shape = *std::move(shape),
                  .data = reinterpret_cast<const std::byte*>(data.data()) + begin,
                  .owner = owner};
  view.strides = ContiguousStrides(view.shape);
  return Entry{begin, end, std::string(name), std::move(view)};
}

Meta ReadMeta(const json::value& metadata) {
  Meta meta;
  const json::object* object = metadata.if_object();
  if (object == nullptr) return meta;
  const auto text = [object](const char* key) {
    const json::value* value = object->if_contains(key);
    return value != nullptr && value->is_string() ? std::string(ToView(value->get_string()))
                                                  : std::string();
  };
  meta.config_text = text("config");
  meta.mmengine_version = text("mmengine_version");
  const std::string classes = text("classes");
  json::error_code error;
  const json::value list = json::parse(classes, error);
  if (!error && list.is_array()) {
    for (const json::value& name : list.get_array()) {
      if (name.is_string()) meta.classes.emplace_back(ToView(name.get_string()));
    }
  } else if (!classes.empty()) {
    meta.classes = absl::StrSplit(classes, '\n', absl::SkipEmpty());
  }
  return meta;
}

}  // namespace

bool LooksLikeSafetensors(std::string_view file) {
  if (file.size() < 10 || file[8] != '{') return false;
  const auto header_size = LoadLittleEndian<std::uint64_t>(file.data());
  return header_size >= 2 && header_size < (std::uint64_t{1} << 32);
}

absl::StatusOr<Checkpoint> ReadSafetensors(std::string_view file,
                                           std::shared_ptr<const void> owner) {
  if (!LooksLikeSafetensors(file)) return Invalid("no header");
  const auto header_size = LoadLittleEndian<std::uint64_t>(file.data());
  if (header_size > kMaxHeaderSize || header_size > file.size() - 8) {
    return Invalid(StrCat("a header of ", header_size, " bytes in a file of ", file.size(),
                          " (at most ", kMaxHeaderSize, " are read); is it truncated?"));
  }
  const std::string_view data = file.substr(8 + header_size);

  json::error_code error;
  const json::value header = json::parse(file.substr(8, header_size), error);
  if (error) return Invalid(StrCat("the header isn't JSON: ", error.message()));
  if (!header.is_object()) return Invalid("the header isn't a JSON object");

  Checkpoint checkpoint;
  std::vector<Entry> entries;
  for (const auto& member : header.get_object()) {
    const std::string_view name(member.key().data(), member.key().size());
    if (name == "__metadata__") {
      checkpoint.meta = ReadMeta(member.value());
      continue;
    }
    absl::StatusOr<Entry> entry = ReadEntry(name, member.value(), data, owner);
    if (!entry.ok()) return entry.status();
    entries.push_back(*std::move(entry));
  }
  if (entries.empty()) return Invalid("no tensors");

  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::int64_t covered = 0;
  for (Entry& entry : entries) {
    if (entry.begin != covered) {
      return Invalid(StrCat("tensor '", entry.name, "' begins at byte ", entry.begin,
                            " where the one before it ends at ", covered));
    }
    covered = entry.end;
    checkpoint.state_dict.emplace_back(std::move(entry.name), std::move(entry.view));
  }
  if (static_cast<std::uint64_t>(covered) != data.size()) {
    return Invalid(StrCat("the tensors end at byte ", covered, " of ", data.size()));
  }
  return checkpoint;
}

}  // namespace checkpoint
