#include "checkpoint/pth_reader.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/status/status.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/byte_order.h"
#include "checkpoint/pickle_reader.h"
#include "checkpoint/zip_reader.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace checkpoint {
namespace {

using text::StrCat;

using Kind = PickleValue::Kind;

constexpr std::string_view kZipSignature = "PK\x03\x04";
// A pickle of torch.serialization.MAGIC_NUMBER: PROTO 2, LONG1 of ten bytes; STOP.
constexpr std::string_view kLegacyMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
                                        15);
constexpr std::int64_t kLegacyProtocol = 1001;

constexpr std::size_t kMaxRank = 64;  // PyTorch's own limit

// A tensor of one element takes five bytes of a file to name again and a kilobyte here, if it has
// kMaxRank dimensions. SAM ViT-H has 594 tensors.
constexpr std::size_t kMaxTensors = 1 << 16;
constexpr std::size_t kMaxClasses = 1 << 16;
// The first three pickles of a legacy file are a number, a number and a few sizes.
constexpr PickleLimits kSmallPickle = {.max_steps = 1000, .max_values = 100, .max_elements = 1000};

// State dictionaries share weights between names, and a consumer may unpack each name on its own.
// What that could take is bounded by the file's size times this, and a little for small files.
constexpr std::int64_t kMaxSharing = 16;
constexpr std::int64_t kSharingSlack = 64 << 20;

absl::Status Invalid(const std::string& what) { return absl::InvalidArgumentError(what); }

// Removes `prefix` from `text` if it is there; whether it was.
bool ConsumePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool ConsumeSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

struct ElementType {
  std::size_t size;            // bytes
  std::optional<DType> dtype;  // none: known to PyTorch, not to us
};

// `name` is "Float" of torch.FloatStorage, or "float32" of torch.float32.
std::optional<ElementType> ElementTypeOf(std::string_view name) {
  static const auto* const kTypes = new absl::flat_hash_map<std::string_view, ElementType>{
      {"Float", {4, DType::kFloat32}},     {"float32", {4, DType::kFloat32}},
      {"Double", {8, DType::kFloat64}},    {"float64", {8, DType::kFloat64}},
      {"Half", {2, DType::kFloat16}},      {"float16", {2, DType::kFloat16}},
      {"BFloat16", {2, DType::kBFloat16}}, {"bfloat16", {2, DType::kBFloat16}},
      {"Long", {8, DType::kInt64}},        {"int64", {8, DType::kInt64}},
      {"Int", {4, DType::kInt32}},         {"int32", {4, DType::kInt32}},
      {"Short", {2, DType::kInt16}},       {"int16", {2, DType::kInt16}},
      {"Char", {1, DType::kInt8}},         {"int8", {1, DType::kInt8}},
      {"Byte", {1, DType::kUInt8}},        {"uint8", {1, DType::kUInt8}},
      {"Bool", {1, DType::kBool}},         {"bool", {1, DType::kBool}},
      {"Untyped", {1, std::nullopt}},      {"ComplexFloat", {8, std::nullopt}},
      {"QInt8", {1, std::nullopt}},        {"ComplexDouble", {16, std::nullopt}},
      {"QUInt8", {1, std::nullopt}},       {"QInt32", {4, std::nullopt}},
  };
  const auto found = kTypes->find(name);
  if (found == kTypes->end()) return std::nullopt;
  return found->second;
}

// What a persistent id refers to: ('storage', torch.FloatStorage, key, location, numel[,
// view_metadata]).
struct StorageRef {
  std::string_view key;
  std::string_view type_name;  // "torch.FloatStorage"
  ElementType type;
  std::uint64_t numel = 0;  // of the whole storage
  // Legacy files of PyTorch 0.x: the part of the storage that the tensor lies in, in elements.
  std::uint64_t view_offset = 0;
  std::uint64_t view_numel = 0;
};

absl::StatusOr<StorageRef> ParseStorageRef(const PickleValue& value) {
  if (!value.Is(Kind::kPersistentId)) return Invalid("a tensor without a storage");
  const PickleValue& id = *value.items[0];
  if (!id.Is(Kind::kTuple) || (id.items.size() != 5 && id.items.size() != 6) ||
      !id.items[0]->Is(Kind::kString) || id.items[0]->text != "storage" ||
      !id.items[1]->Is(Kind::kGlobal) || !id.items[2]->Is(Kind::kString) ||
      !id.items[4]->Is(Kind::kInt) || id.items[4]->integer < 0) {
    return Invalid("a storage reference in a form that PyTorch doesn't write");
  }
  // torch.FloatStorage, torch.cuda.FloatStorage, torch.storage.UntypedStorage
  const std::string_view type_name = id.items[1]->text;
  std::string_view name = type_name.substr(type_name.rfind('.') + 1);
  std::optional<ElementType> type;
  if (type_name.starts_with("torch.") && ConsumeSuffix(name, "Storage")) {
    type = ElementTypeOf(name);
  }
  if (!type.has_value()) return Invalid(StrCat("a storage of unknown type ", type_name));

  StorageRef ref{.key = id.items[2]->text,
                 .type_name = type_name,
                 .type = *type,
                 .numel = static_cast<std::uint64_t>(id.items[4]->integer)};
  ref.view_numel = ref.numel;
  if (id.items.size() == 6 && !id.items[5]->Is(Kind::kNone)) {
    const PickleValue& view = *id.items[5];  // (view_key, offset, size)
    if (!view.IsSequence() || view.items.size() != 3 || !view.items[1]->Is(Kind::kInt) ||
        !view.items[2]->Is(Kind::kInt) || view.items[1]->integer < 0 ||
        view.items[2]->integer < 0) {
      return Invalid(StrCat("storage '", ref.key, "' with a damaged view"));
    }
    ref.view_offset = static_cast<std::uint64_t>(view.items[1]->integer);
    ref.view_numel = static_cast<std::uint64_t>(view.items[2]->integer);
    if (ref.view_offset > ref.numel || ref.view_numel > ref.numel - ref.view_offset) {
      return Invalid(StrCat("a view that leaves its storage '", ref.key, "'"));
    }
  }
  return ref;
}

// The bytes of every storage by its key.
using Storages = absl::flat_hash_map<std::string_view, std::string_view>;

bool ReadExtents(const PickleValue& value, std::vector<std::int64_t>& extents) {
  if (!value.IsSequence() || value.items.size() > kMaxRank) return false;
  for (const PickleValue* item : value.items) {
    if (!item->Is(Kind::kInt) || item->integer < 0) return false;
    extents.push_back(item->integer);
  }
  return true;
}

// Turns calls of PyTorch's rebuild functions into views of the storages. Nothing else in a pickle
// becomes a tensor.
class TensorBuilder {
 public:
  TensorBuilder(const Storages& storages, std::size_t file_size, std::shared_ptr<const void> owner)
      : storages_(storages),
        file_size_(static_cast<std::int64_t>(file_size)),
        owner_(std::move(owner)) {}

  // None if `value` is not a tensor at all.
  absl::StatusOr<std::optional<TensorView>> Build(const PickleValue& value) {
    const PickleValue* call = &value;
    // Parameters and subclasses wrap the call that makes the tensor. They don't wrap each other
    // deeply.
    for (int depth = 0; depth < 4; ++depth) {
      if (!call->Is(Kind::kObject) || !call->items[0]->Is(Kind::kGlobal)) return std::nullopt;
      const std::string_view function = call->items[0]->text;
      const PickleValue& arguments = *call->items[1];
      if (!arguments.Is(Kind::kTuple)) return std::nullopt;
      const auto& items = arguments.items;
      if (function == "torch._utils._rebuild_tensor" ||     // (storage, offset, shape, strides)
          function == "torch._utils._rebuild_tensor_v2" ||  // (…, requires_grad, hooks)
          function == "torch._utils._rebuild_tensor_v3") {  // (…, requires_grad, hooks, dtype)
        const bool has_dtype = function == "torch._utils._rebuild_tensor_v3";
        if (items.size() < (has_dtype ? 7 : 4)) return Invalid("too few arguments");
        return BuildView(items, has_dtype ? items[6] : nullptr);
      }
      if (function == "torch._utils._rebuild_parameter" ||  // (tensor, requires_grad, hooks)
          function == "torch._utils._rebuild_parameter_with_state" ||
          function == "torch.nn.parameter.Parameter") {
        if (items.empty()) return Invalid("too few arguments");
        call = items[0];
      } else if (function == "torch._tensor._rebuild_from_type_v2") {
        // (function, type, arguments, state): as good as a call of `function`.
        if (items.size() < 3 || !items[0]->Is(Kind::kGlobal)) return Invalid("too few arguments");
        unwrapped_.Set(items[0], items[2]);
        call = &unwrapped_.value;
      } else if (function.starts_with("torch._utils._rebuild_")) {
        return Invalid(StrCat("of a kind that isn't supported (", function,
                              "; dense float, integer and bool tensors are)"));
      } else {
        return std::nullopt;
      }
    }
    return Invalid("wrapped too deeply");
  }

 private:
  struct Unwrapped {
    PickleValue value;
    void Set(const PickleValue* function, const PickleValue* arguments) {
      items[0] = function;
      items[1] = arguments;
      value.kind = Kind::kObject;
      value.items = items;
    }
    const PickleValue* items[2];
  };

  absl::StatusOr<std::optional<TensorView>> BuildView(std::span<const PickleValue* const> items,
                                                      const PickleValue* dtype_name) {
    absl::StatusOr<StorageRef> ref = ParseStorageRef(*items[0]);
    if (!ref.ok()) return ref.status();
    std::optional<DType> dtype = ref->type.dtype;
    if (dtype_name != nullptr) {
      dtype.reset();
      if (dtype_name->Is(Kind::kGlobal)) {
        std::string_view name = dtype_name->text;
        ConsumePrefix(name, "torch.");
        if (const auto type = ElementTypeOf(name); type.has_value()) dtype = type->dtype;
      }
    }
    if (!dtype.has_value()) {
      return Invalid(StrCat("of an element type that isn't supported (",
                            dtype_name != nullptr ? dtype_name->text : ref->type_name,
                            "; float16/32/64, bfloat16, int8/16/32/64, uint8 and bool are)"));
    }

    const auto storage = storages_.find(ref->key);
    if (storage == storages_.end()) {
      return Invalid(StrCat("whose storage '", ref->key, "' is not in the file"));
    }
    // Cannot overflow: a legal reference is within the storage, which is in memory.
    const std::uint64_t stored = storage->second.size() / ref->type.size;
    if (ref->view_offset > stored || ref->view_numel > stored - ref->view_offset) {
      return Invalid(StrCat("whose storage '", ref->key, "' should have ", ref->numel,
                            " elements but has ", stored));
    }
    const std::string_view bytes =
        storage->second.substr(ref->view_offset * ref->type.size, ref->view_numel * ref->type.size);
    const auto available = static_cast<std::int64_t>(bytes.size() / SizeOf(*dtype));

    TensorView view{.dtype = *dtype, .owner = owner_};
    if (!items[1]->Is(Kind::kInt) || items[1]->integer < 0 || !ReadExtents(*items[2], view.shape) ||
        !ReadExtents(*items[3], view.strides) || view.shape.size() != view.strides.size()) {
      return Invalid("with a damaged offset, shape or strides");
    }
    std::int64_t count = 1;
    std::int64_t last = items[1]->integer;  // index of the last element
    bool overflow = false;
    for (std::size_t i = 0; i < view.shape.size(); ++i) {
      std::int64_t span = 0;
      overflow |= __builtin_mul_overflow(count, view.shape[i], &count);
      overflow |= __builtin_mul_overflow(std::max<std::int64_t>(view.shape[i] - 1, 0),
                                         view.strides[i], &span);
      overflow |= __builtin_add_overflow(last, span, &last);
    }
    // An empty tensor touches nothing, but its pointer must be good.
    const std::int64_t offset = count == 0 ? 0 : items[1]->integer;
    if (overflow || (count > 0 && last >= available)) {
      return Invalid(
          StrCat("that leaves its storage '", ref->key, "' of ", available, " elements"));
    }
    std::int64_t size = 0;
    if (__builtin_mul_overflow(count, static_cast<std::int64_t>(SizeOf(*dtype)), &size) ||
        __builtin_add_overflow(unpacked_bytes_, size, &unpacked_bytes_) ||
        (unpacked_bytes_ - kSharingSlack) / kMaxSharing > file_size_) {
      return Invalid(StrCat("with which the tensors would take far more memory than the file's ",
                            file_size_, " bytes"));
    }
    view.data = reinterpret_cast<const std::byte*>(bytes.data()) +
                static_cast<std::size_t>(offset) * SizeOf(*dtype);
    return view;
  }

  const Storages& storages_;
  const std::int64_t file_size_;
  const std::shared_ptr<const void> owner_;
  std::int64_t unpacked_bytes_ = 0;
  Unwrapped unwrapped_;
};

// Of strings only, else empty; a string is the one name. Two bytes of a file can name a long text
// again; names of classes are all different, so there are at most as many bytes as in the file.
absl::StatusOr<std::vector<std::string>> ReadClasses(const PickleValue* value,
                                                     std::size_t file_size) {
  std::vector<std::string> classes;
  if (value != nullptr && value->Is(Kind::kString)) {
    if (!text::IsUtf8(value->text)) return Invalid("a class name that isn't UTF-8");
    classes.emplace_back(value->text);
  }
  if (value == nullptr || !value->IsSequence()) return classes;
  if (value->items.size() > kMaxClasses) {
    return Invalid(StrCat(value->items.size(), " classes, more than ", kMaxClasses));
  }
  std::size_t bytes = 0;
  for (const PickleValue* item : value->items) {
    if (!item->Is(Kind::kString)) return std::vector<std::string>();
    bytes += item->text.size();
    if (bytes > file_size) return Invalid("class names that take more bytes than the file");
    if (!text::IsUtf8(item->text)) return Invalid("a class name that isn't UTF-8");
    classes.emplace_back(item->text);
  }
  return classes;
}

absl::StatusOr<Meta> ReadMeta(const PickleValue& root, std::size_t file_size) {
  Meta result;
  const PickleValue* meta = FindKey(root, "meta");
  if (meta == nullptr) return result;

  const PickleValue* classes = FindKey(*meta, "CLASSES");
  if (const PickleValue* dataset = FindKey(*meta, "dataset_meta"); dataset != nullptr) {
    for (const char* key : {"CLASSES", "classes"}) {
      if (const PickleValue* found = FindKey(*dataset, key); found != nullptr) classes = found;
    }
  }
  absl::StatusOr<std::vector<std::string>> names = ReadClasses(classes, file_size);
  if (!names.ok()) return names.status();
  result.classes = *std::move(names);

  for (const auto& [key, target] : {std::pair("config", &result.config_text),  // mmdet 2.x
                                    std::pair("cfg", &result.config_text),
                                    std::pair("mmengine_version", &result.mmengine_version)}) {
    const PickleValue* text = FindKey(*meta, key);
    if (text == nullptr || !text->Is(Kind::kString)) continue;
    if (!text::IsUtf8(text->text)) return Invalid(StrCat("meta['", key, "'] isn't UTF-8"));
    *target = text->text;
  }
  return result;
}

std::string Describe(const PickleValue& value) {
  switch (value.kind) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kBigInt:
    case Kind::kFloat:
      return "a number";
    case Kind::kString:
    case Kind::kBytes:
      return "text";
    case Kind::kTuple:
    case Kind::kList:
      return "a list";
    case Kind::kDict:
      return "a dictionary";
    case Kind::kGlobal:
      return StrCat("the function or class ", value.text);
    case Kind::kObject:
      if (value.items[0]->Is(Kind::kGlobal))
        return StrCat("a pickled object (", value.items[0]->text, ")");
      return "a pickled object";
    case Kind::kPersistentId:
      return "a storage";
  }
  return "";
}

bool LooksLikeTensor(const PickleValue& value) {
  if (!value.Is(Kind::kObject) || !value.items[0]->Is(Kind::kGlobal)) return false;
  const std::string_view function = value.items[0]->text;
  return function.starts_with("torch._utils._rebuild_") ||
         function == "torch._tensor._rebuild_from_type_v2" ||
         function == "torch.nn.parameter.Parameter";
}

// Where training scripts put a state_dict, mmengine's key first: what it would load is what counts.
// Any other key counts only if nothing else is meant (FindUnderAnyKey).
constexpr const char* kContainerKeys[] = {"state_dict", "model", "model_state_dict", "model_state",
                                          "net"};

// The dictionary of tensors in `dict`, which may be under several keys in a row, and these, joined
// by dots. Null if none has tensors.
using FoundTensors = std::pair<const PickleValue*, std::string>;
constexpr int kMaxDepth = 4;
FoundTensors FindTensors(const PickleValue& dict, int depth) {
  for (const char* key : kContainerKeys) {
    const PickleValue* const wrapped = FindKey(dict, key);
    if (wrapped == nullptr || !wrapped->Is(Kind::kDict) || depth == kMaxDepth) continue;
    auto [found, path] = FindTensors(*wrapped, depth + 1);
    if (found != nullptr) return {found, path.empty() ? key : StrCat(key, ".", path)};
  }
  for (std::size_t i = 1; i < dict.items.size(); i += 2) {
    if (LooksLikeTensor(*dict.items[i])) return {&dict, ""};
  }
  return {nullptr, ""};
}

// The only dictionary of tensors that is under some key of `root`, whatever the key is. Null if
// there is none; an error if there are several.
absl::StatusOr<FoundTensors> FindUnderAnyKey(const PickleValue& root) {
  constexpr std::size_t kMaxKeys = 100;  // what training saves has a few
  std::vector<FoundTensors> all;
  for (std::size_t i = 0; i + 1 < std::min(root.items.size(), 2 * kMaxKeys); i += 2) {
    const PickleValue& key = *root.items[i];
    const PickleValue& value = *root.items[i + 1];
    if (!key.Is(Kind::kString) || !text::IsUtf8(key.text) || !value.Is(Kind::kDict)) continue;
    const auto [found, path] = FindTensors(value, kMaxDepth - 1);
    if (found == nullptr) continue;
    all.emplace_back(found, path.empty() ? std::string(key.text) : StrCat(key.text, ".", path));
  }
  if (all.empty()) return FoundTensors{nullptr, ""};
  if (all.size() == 1) return std::move(all.front());
  return Invalid(StrCat("holds ", all.size(), " dictionaries of tensors, '", all[0].second,
                        "' and '", all[1].second,
                        "' among them; save the state_dict() of the one that is meant by itself"));
}

// The dictionary of tensors in `root`, and the keys that it is under.
absl::StatusOr<FoundTensors> FindStateDict(const PickleValue& root) {
  if (!root.Is(Kind::kDict)) {
    return Invalid(StrCat("holds ", Describe(root),
                          ", but a dictionary of tensors is needed; save model.state_dict()"));
  }
  FoundTensors known = FindTensors(root, 0);
  if (known.first != nullptr) return known;
  absl::StatusOr<FoundTensors> other = FindUnderAnyKey(root);
  if (!other.ok() || other->first != nullptr) return other;
  for (const char* key : kContainerKeys) {
    const PickleValue* wrapped = FindKey(root, key);
    if (wrapped == nullptr || wrapped->Is(Kind::kDict)) continue;
    return Invalid(StrCat("'", key, "' holds ", Describe(*wrapped),
                          ", but a dictionary of tensors is needed; save model.state_dict()"));
  }
  return Invalid("no tensors found: neither a state_dict nor a dictionary that has one");
}

absl::StatusOr<StateDict> ReadStateDict(const PickleValue& dict, TensorBuilder& builder) {
  StateDict state_dict;
  absl::flat_hash_map<std::string, std::size_t> index;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleValue& key = *dict.items[i];
    if (!key.Is(Kind::kString)) continue;  // _metadata and the like
    absl::StatusOr<std::optional<TensorView>> tensor = builder.Build(*dict.items[i + 1]);
    if (!tensor.ok()) {
      return Invalid(StrCat("tensor '", key.text, "' ", tensor.status().message()));
    }
    if (!tensor->has_value()) continue;  // a counter, a version
    if (state_dict.size() == kMaxTensors) {
      return Invalid(StrCat("more than ", kMaxTensors, " tensors"));
    }
    if (!text::IsUtf8(key.text)) return Invalid("a tensor whose name isn't UTF-8");
    // DistributedDataParallel's wrapper.
    std::string_view short_name = key.text;
    ConsumePrefix(short_name, "module.");
    const std::string name(short_name);
    if (!index.emplace(name, state_dict.size()).second) {
      return Invalid(StrCat("two tensors named '", name, "'"));
    }
    state_dict.emplace_back(name, **std::move(tensor));
  }
  if (state_dict.empty()) return Invalid("no tensors found");
  return state_dict;
}

absl::StatusOr<Checkpoint> ReadObject(const PickleValue& root, const Storages& storages,
                                      std::size_t file_size, std::shared_ptr<const void> owner) {
  TensorBuilder builder(storages, file_size, std::move(owner));
  auto found = FindStateDict(root);
  if (!found.ok()) return found.status();
  absl::StatusOr<StateDict> state_dict = ReadStateDict(*found->first, builder);
  if (!state_dict.ok()) return state_dict.status();
  absl::StatusOr<Meta> meta = ReadMeta(root, file_size);
  if (!meta.ok()) return meta.status();
  return Checkpoint{.state_dict = *std::move(state_dict),
                    .wrapper_key = std::move(found->second),
                    .meta = *std::move(meta)};
}

absl::Status BigEndian() {
  return Invalid("written on a big-endian machine; load and save it on a little-endian one");
}

}  // namespace

bool LooksLikeZip(std::string_view file) { return file.starts_with(kZipSignature); }

bool LooksLikeLegacyPth(std::string_view file) { return file.starts_with(kLegacyMagic); }

absl::StatusOr<Checkpoint> ReadZipPth(std::string_view file, std::shared_ptr<const void> owner) {
  absl::StatusOr<std::vector<ZipEntry>> entries = ReadZipDirectory(file);
  if (!entries.ok()) return entries.status();

  // All entries are in one folder, whose name varies.
  std::string_view folder;
  const ZipEntry* pickled = nullptr;
  for (const ZipEntry& entry : *entries) {
    std::string_view name = entry.name;
    if (!ConsumeSuffix(name, "data.pkl") || name.find('/') != name.size() - 1) continue;
    if (pickled != nullptr) return Invalid("a zip archive with two data.pkl");
    pickled = &entry;
    folder = name;
  }
  if (pickled == nullptr || folder.empty()) {
    return Invalid("a zip archive without <folder>/data.pkl, so not one that torch.save wrote");
  }

  Storages storages;
  const std::string data_folder = StrCat(folder, "data/");
  for (const ZipEntry& entry : *entries) {
    std::string_view name = entry.name;
    if (ConsumePrefix(name, data_folder)) {
      if (entry.compressed)
        return Invalid(StrCat("entry '", entry.name, "' is compressed; torch.save stores"));
      storages.emplace(name, entry.payload);
    } else if (ConsumePrefix(name, folder)) {
      if (name == "constants.pkl") {
        return Invalid("a TorchScript archive; a checkpoint of a state_dict is needed");
      }
      if (name == "byteorder" && entry.payload.substr(0, entry.payload.find('\n')) != "little") {
        return BigEndian();
      }
    }
  }
  if (pickled->compressed) return Invalid("data.pkl is compressed; torch.save stores");

  absl::StatusOr<Pickle> pickle = ReadPickle(pickled->payload);
  if (!pickle.ok()) return Invalid(StrCat("data.pkl: ", pickle.status().message()));
  return ReadObject(*pickle->root, storages, file.size(), std::move(owner));
}

namespace {

// The storages that an object refers to, by key. How large a storage's elements are is known only
// to the references to it.
absl::StatusOr<absl::flat_hash_map<std::string_view, StorageRef>> StoragesIn(const Pickle& object) {
  absl::flat_hash_map<std::string_view, StorageRef> references;
  for (const PickleValue& value : object.values) {
    if (!value.Is(Kind::kPersistentId)) continue;
    absl::StatusOr<StorageRef> ref = ParseStorageRef(value);
    if (!ref.ok())
      continue;  // a pickled module's source, say; if it is a tensor's, that will be an error
    const auto [found, added] = references.emplace(ref->key, *ref);
    if (!added && found->second.type.size != ref->type.size) {
      return Invalid(StrCat("storage '", ref->key, "' is referred to as ", ref->type_name,
                            " and as ", found->second.type_name));
    }
  }
  return references;
}

// The bytes of the storages, which stand in `rest` in the order of `keys`, each behind its number
// of elements. `file_size`: for errors.
absl::StatusOr<Storages> CutStorages(
    const PickleValue& keys, const absl::flat_hash_map<std::string_view, StorageRef>& references,
    std::string_view rest, std::size_t file_size) {
  Storages storages;
  for (const PickleValue* key : keys.items) {
    const auto ref = key->Is(Kind::kString) ? references.find(key->text) : references.end();
    if (ref == references.end()) return Invalid("a storage that nothing refers to");
    const std::size_t element_size = ref->second.type.size;
    const auto numel =
        rest.size() < 8 ? std::uint64_t{0} : LoadLittleEndian<std::uint64_t>(rest.data());
    if (rest.size() < 8 || numel > (rest.size() - 8) / element_size) {
      return Invalid(StrCat("damaged or truncated: storage '", key->text, "' (",
                            storages.size() + 1, " of ", keys.items.size(), ", ", numel,
                            " elements) ends after the file's ", file_size, " bytes"));
    }
    if (!storages.emplace(key->text, rest.substr(8, numel * element_size)).second) {
      return Invalid(StrCat("two storages with key '", key->text, "'"));
    }
    rest.remove_prefix(8 + numel * element_size);
  }
  return storages;
}

}  // namespace

absl::StatusOr<Checkpoint> ReadLegacyPth(std::string_view file, std::shared_ptr<const void> owner) {
  std::string_view rest = file;
  // Four more pickles than the object itself; see the layout in docs/formats.md.
  const auto next = [&rest](std::string_view what,
                            const PickleLimits& limits = {}) -> absl::StatusOr<Pickle> {
    absl::StatusOr<Pickle> pickle = ReadPickle(rest, limits);
    if (!pickle.ok()) return Invalid(StrCat(what, ": ", pickle.status().message()));
    rest.remove_prefix(pickle->length);
    return pickle;
  };

  absl::StatusOr<Pickle> magic = next("magic number", kSmallPickle);
  if (!magic.ok()) return magic.status();
  absl::StatusOr<Pickle> protocol = next("protocol version", kSmallPickle);
  if (!protocol.ok()) return protocol.status();
  if (!protocol->root->Is(Kind::kInt) || protocol->root->integer != kLegacyProtocol) {
    return Invalid(StrCat("not protocol ", kLegacyProtocol, " of torch.save"));
  }
  absl::StatusOr<Pickle> system = next("system information", kSmallPickle);
  if (!system.ok()) return system.status();
  if (const PickleValue* little = FindKey(*system->root, "little_endian");
      little != nullptr && little->Is(Kind::kBool) && little->integer == 0) {
    return BigEndian();
  }
  absl::StatusOr<Pickle> object = next("object");
  if (!object.ok()) return object.status();
  absl::StatusOr<Pickle> keys = next("storage keys");
  if (!keys.ok()) return keys.status();
  if (!keys->root->IsSequence()) return Invalid("the storage keys are not a list");
  const auto references = StoragesIn(*object);
  if (!references.ok()) return references.status();
  const absl::StatusOr<Storages> storages =
      CutStorages(*keys->root, *references, rest, file.size());
  if (!storages.ok()) return storages.status();
  return ReadObject(*object->root, *storages, file.size(), std::move(owner));
}

}  // namespace checkpoint
