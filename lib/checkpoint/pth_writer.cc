#include "checkpoint/pth_writer.h"

#include <absl/container/flat_hash_set.h>
#include <zlib.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "checkpoint/byte_order.h"
#include "files/atomic_file.h"
#include "text/str_cat.h"

namespace checkpoint {
namespace {

using text::StrCat;

// torch.save aligns payloads so that a mapped file can be used in place.
constexpr std::uint64_t kAlignment = 64;
constexpr std::string_view kFolder = "archive/";

// Emits pickle protocol 2, without memo entries: nothing is referred to twice but storages, and
// those by key.
class PickleWriter {
 public:
  PickleWriter() { out_ = "\x80\x02"; }

  void Mark() { out_ += '('; }
  void TupleFromMark() { out_ += 't'; }
  void EmptyList() { out_ += ']'; }
  void AppendFromMark() { out_ += 'e'; }  // to the list below the mark
  void EmptyDict() { out_ += '}'; }
  void SetItem() { out_ += 's'; }
  void Reduce() { out_ += 'R'; }
  void EmptyTuple() { out_ += ')'; }
  void PersistentId() { out_ += 'Q'; }
  void False() { out_ += '\x89'; }

  void Global(std::string_view module, std::string_view name) {
    out_ += StrCat("c", module, "\n", name, "\n");
  }

  void Text(std::string_view text) {
    out_ += 'X';
    AppendLittleEndian(out_, static_cast<std::uint32_t>(text.size()));
    out_ += text;
  }

  void Int(std::int64_t value) {
    if (value >= 0 && value <= std::numeric_limits<std::int32_t>::max()) {
      out_ += 'J';
      AppendLittleEndian(out_, static_cast<std::int32_t>(value));
    } else {
      out_ += "\x8a\x08";
      AppendLittleEndian(out_, value);
    }
  }

  void IntTuple(const std::vector<std::int64_t>& values) {
    Mark();
    for (const std::int64_t value : values) Int(value);
    TupleFromMark();
  }

  void OrderedDict() {
    Global("collections", "OrderedDict");
    EmptyTuple();
    Reduce();
  }

  std::string Finish() {
    out_ += '.';
    return std::move(out_);
  }

 private:
  std::string out_;
};

std::string_view StorageTypeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "FloatStorage";
    case DType::kFloat64:
      return "DoubleStorage";
    case DType::kFloat16:
      return "HalfStorage";
    case DType::kBFloat16:
      return "BFloat16Storage";
    case DType::kInt64:
      return "LongStorage";
    case DType::kInt32:
      return "IntStorage";
    case DType::kInt16:
      return "ShortStorage";
    case DType::kInt8:
      return "CharStorage";
    case DType::kUInt8:
      return "ByteStorage";
    case DType::kBool:
      return "BoolStorage";
  }
  return "";
}

// The tensors to write once each, and which of them every name has.
struct Storages {
  std::vector<const TensorView*> views;
  std::vector<std::size_t> index_of_entry;
};

Storages ShareStorages(const StateDict& state_dict) {
  Storages storages;
  std::map<std::tuple<const std::byte*, DType, std::int64_t>, std::size_t> known;
  for (const auto& [name, view] : state_dict) {
    const std::size_t fresh = storages.views.size();
    std::size_t index = fresh;
    if (view.IsContiguous() && view.NumElements() > 0) {
      index =
          known.emplace(std::tuple(view.data, view.dtype, view.NumElements()), fresh).first->second;
    }
    if (index == fresh) storages.views.push_back(&view);
    storages.index_of_entry.push_back(index);
  }
  return storages;
}

void PickleTensor(PickleWriter& out, const TensorView& view, std::size_t storage) {
  out.Global("torch._utils", "_rebuild_tensor_v2");
  out.Mark();
  {
    out.Mark();
    out.Text("storage");
    out.Global("torch", StorageTypeOf(view.dtype));
    out.Text(StrCat(storage));
    out.Text("cpu");
    out.Int(view.NumElements());
    out.TupleFromMark();
    out.PersistentId();
  }
  out.Int(0);  // offset
  out.IntTuple(view.shape);
  out.IntTuple(ContiguousStrides(view.shape));
  out.False();        // requires_grad
  out.OrderedDict();  // hooks
  out.TupleFromMark();
  out.Reduce();
}

void PickleDatasetMeta(PickleWriter& out, const Meta& meta, const TrainingMeta& training) {
  out.EmptyDict();
  if (!meta.classes.empty()) {
    out.Text("classes");
    out.Mark();
    for (const std::string& name : meta.classes) out.Text(name);
    out.TupleFromMark();
    out.SetItem();
  }
  if (!training.palette.empty()) {
    out.Text("palette");
    out.EmptyList();
    out.Mark();
    for (const std::array<int, 3>& color : training.palette) {
      out.IntTuple({color[0], color[1], color[2]});
    }
    out.AppendFromMark();
    out.SetItem();
  }
}

void PickleMeta(PickleWriter& out, const Meta& meta, const std::optional<TrainingMeta>& training) {
  out.EmptyDict();
  if (training.has_value()) {
    for (const auto& [key, value] :
         {std::pair("epoch", training->epoch), std::pair("iter", training->iter)}) {
      out.Text(key);
      out.Int(value);
      out.SetItem();
    }
  }
  if (!meta.classes.empty() || (training.has_value() && !training->palette.empty())) {
    out.Text("dataset_meta");
    PickleDatasetMeta(out, meta, training.value_or(TrainingMeta{}));
    out.SetItem();
  }
  for (const auto& [key, text] : {std::pair("cfg", &meta.config_text),
                                  std::pair("mmengine_version", &meta.mmengine_version)}) {
    if (text->empty()) continue;
    out.Text(key);
    out.Text(*text);
    out.SetItem();
  }
}

void PickleStateDict(PickleWriter& out, const StateDict& state_dict, const Storages& storages) {
  out.OrderedDict();
  for (std::size_t i = 0; i < state_dict.size(); ++i) {
    out.Text(state_dict[i].first);
    PickleTensor(out, state_dict[i].second, storages.index_of_entry[i]);
    out.SetItem();
  }
}

// A zip archive of stored entries, each one's payload aligned.
class ZipWriter {
 public:
  explicit ZipWriter(files::AtomicFile& file) : file_(file) {}

  void Add(std::string_view name_in_folder, std::string_view payload) {
    const std::string name = StrCat(kFolder, name_in_folder);
    const auto size = static_cast<std::uint32_t>(payload.size());
    const auto crc = static_cast<std::uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(payload.data()), payload.size()));
    std::string shared;  // the fields that the local header and the directory entry have in common
    for (const std::uint16_t field : {20, 0x0800, 0}) AppendLittleEndian(shared, field);
    // Version 2.0; names are UTF-8; stored. Then the earliest date there is: equal weights, equal
    // files.
    for (const std::uint16_t field : {0, 0x0021}) AppendLittleEndian(shared, field);
    for (const std::uint32_t field : {crc, size, size}) AppendLittleEndian(shared, field);
    AppendLittleEndian(shared, static_cast<std::uint16_t>(name.size()));

    const auto header_offset = static_cast<std::uint32_t>(file_.size());
    std::string header = StrCat("PK\x03\x04", shared);
    // An extra field fills up to the alignment; "FB" is the id that torch.save uses.
    const std::uint64_t unpadded = file_.size() + header.size() + 2 + name.size() + 4;
    const auto padding =
        static_cast<std::uint16_t>((kAlignment - unpadded % kAlignment) % kAlignment);
    AppendLittleEndian(header, static_cast<std::uint16_t>(4 + padding));
    header += name;
    header += "FB";
    AppendLittleEndian(header, padding);
    header.append(padding, 'Z');
    file_.Append(header);
    file_.Append(payload);

    directory_ += "PK\x01\x02";
    AppendLittleEndian(directory_, std::uint16_t{20});
    directory_ += shared;
    // Lengths of extra field and comment, disk, internal attributes; external attributes.
    directory_.append(2 + 2 + 2 + 2 + 4, '\0');
    AppendLittleEndian(directory_, header_offset);
    directory_ += name;
    ++entries_;
  }

  void Finish() {
    const auto directory_offset = static_cast<std::uint32_t>(file_.size());
    std::string end = "PK\x05\x06";
    for (const std::uint16_t field : {std::uint16_t{0}, std::uint16_t{0}, entries_, entries_}) {
      AppendLittleEndian(end, field);
    }
    AppendLittleEndian(end, static_cast<std::uint32_t>(directory_.size()));
    AppendLittleEndian(end, directory_offset);
    AppendLittleEndian(end, std::uint16_t{0});
    file_.Append(directory_);
    file_.Append(end);
  }

 private:
  files::AtomicFile& file_;
  std::string directory_;
  std::uint16_t entries_ = 0;
};

absl::Status CheckLimits(const std::string& path, const StateDict& state_dict,
                         const Storages& storages) {
  absl::flat_hash_set<std::string_view> names;
  std::uint64_t total = 0;
  for (const auto& [name, view] : state_dict) {
    if (!names.insert(name).second) {
      return absl::InvalidArgumentError(StrCat(path, ": two tensors named '", name, "'"));
    }
    total += 1024 + name.size();
  }
  for (const TensorView* view : storages.views) {
    total += static_cast<std::uint64_t>(view->NumElements()) * SizeOf(view->dtype);
  }
  // Without zip64.
  if (total > 0xf0000000 || storages.views.size() > 0xfff0) {
    return absl::InvalidArgumentError(StrCat(path, ": ", total, " bytes in ", storages.views.size(),
                                             " tensors; less than 4 GiB in 65520 can be written"));
  }
  return absl::OkStatus();
}

// The file whose object `pickle` writes.
absl::Status WriteArchive(const std::string& path, const StateDict& state_dict,
                          const std::function<void(PickleWriter&, const Storages&)>& pickle) {
  const Storages storages = ShareStorages(state_dict);
  if (absl::Status status = CheckLimits(path, state_dict, storages); !status.ok()) return status;
  absl::StatusOr<files::AtomicFile> file = files::AtomicFile::Create(path);
  if (!file.ok()) return file.status();

  PickleWriter object;
  pickle(object, storages);
  ZipWriter zip(*file);
  zip.Add("data.pkl", object.Finish());
  zip.Add("byteorder", "little");
  for (std::size_t i = 0; i < storages.views.size(); ++i) {
    std::string packed;
    zip.Add(StrCat("data/", i), ContiguousBytes(*storages.views[i], packed));
  }
  zip.Add("version", "3\n");
  zip.Finish();
  return file->Commit();
}

}  // namespace

absl::Status WritePth(const std::string& path, const StateDict& state_dict,
                      const std::optional<Meta>& meta,
                      const std::optional<TrainingMeta>& training) {
  return WriteArchive(path, state_dict, [&](PickleWriter& out, const Storages& storages) {
    if (!meta.has_value()) return PickleStateDict(out, state_dict, storages);
    out.EmptyDict();
    out.Text("meta");
    PickleMeta(out, *meta, training);
    out.SetItem();
    out.Text("state_dict");
    PickleStateDict(out, state_dict, storages);
    out.SetItem();
  });
}

absl::Status WriteWrappedPth(const std::string& path, const std::string& key,
                             const StateDict& state_dict) {
  return WriteArchive(path, state_dict, [&](PickleWriter& out, const Storages& storages) {
    out.EmptyDict();
    out.Text(key);
    PickleStateDict(out, state_dict, storages);
    out.SetItem();
  });
}

}  // namespace checkpoint
