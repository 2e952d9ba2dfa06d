#include "checkpoint/safetensors_writer.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/byte_order.h"
#include "files/atomic_file.h"
#include "text/str_cat.h"

namespace checkpoint {
namespace {

using text::StrCat;

namespace json = boost::json;

const char* SafetensorsName(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "F32";
    case DType::kFloat64:
      return "F64";
    case DType::kFloat16:
      return "F16";
    case DType::kBFloat16:
      return "BF16";
    case DType::kInt64:
      return "I64";
    case DType::kInt32:
      return "I32";
    case DType::kInt16:
      return "I16";
    case DType::kInt8:
      return "I8";
    case DType::kUInt8:
      return "U8";
    case DType::kBool:
      return "BOOL";
  }
  return "";
}

json::object Metadata(const Meta& meta) {
  json::object metadata;  // values are strings, by the format's rules
  if (!meta.classes.empty()) {
    json::array classes;
    for (const std::string& name : meta.classes) classes.emplace_back(name);
    metadata["classes"] = json::serialize(classes);
  }
  if (!meta.config_text.empty()) metadata["config"] = meta.config_text;
  if (!meta.mmengine_version.empty()) metadata["mmengine_version"] = meta.mmengine_version;
  return metadata;
}

}  // namespace

absl::Status WriteSafetensors(const std::string& path, const StateDict& state_dict,
                              const Meta& meta) {
  absl::flat_hash_set<std::string_view> names;
  std::vector<const StateDict::value_type*> entries;
  for (const auto& entry : state_dict) {
    if (!names.insert(entry.first).second) {
      return absl::InvalidArgumentError(StrCat(path, ": two tensors named '", entry.first, "'"));
    }
    entries.push_back(&entry);
  }
  std::stable_sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
    return SizeOf(a->second.dtype) > SizeOf(b->second.dtype);
  });

  json::object header;
  if (json::object metadata = Metadata(meta); !metadata.empty()) {
    header["__metadata__"] = std::move(metadata);
  }
  std::int64_t offset = 0;
  for (const auto* entry : entries) {
    const TensorView& view = entry->second;
    const std::int64_t end =
        offset + view.NumElements() * static_cast<std::int64_t>(SizeOf(view.dtype));
    header[entry->first] = {{"dtype", SafetensorsName(view.dtype)},
                            {"shape", json::array(view.shape.begin(), view.shape.end())},
                            {"data_offsets", json::array{offset, end}}};
    offset = end;
  }
  std::string text = json::serialize(header);
  text.append((8 - text.size() % 8) % 8, ' ');

  absl::StatusOr<files::AtomicFile> file = files::AtomicFile::Create(path);
  if (!file.ok()) return file.status();
  std::string size;
  AppendLittleEndian(size, std::uint64_t{text.size()});
  file->Append(size);
  file->Append(text);
  for (const auto* entry : entries) {
    std::string packed;
    file->Append(ContiguousBytes(entry->second, packed));
  }
  return file->Commit();
}

}  // namespace checkpoint
