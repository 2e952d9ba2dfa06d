#include "detector_service/config/class_names.h"

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include <filesystem>
#include <iterator>
#include <optional>
#include <utility>

#include "files/text_file.h"

namespace detector {
namespace {

constexpr int kMaxWrappers = 8;  // of a data set
constexpr std::size_t kMaxFileBytes = 1 << 20;

// As the data sets of mmdet (CocoDataset) and mmrotate (DOTADataset) have them.
constexpr const char* kCoco[] = {"person",        "bicycle",      "car",
                                 "motorcycle",    "airplane",     "bus",
                                 "train",         "truck",        "boat",
                                 "traffic light", "fire hydrant", "stop sign",
                                 "parking meter", "bench",        "bird",
                                 "cat",           "dog",          "horse",
                                 "sheep",         "cow",          "elephant",
                                 "bear",          "zebra",        "giraffe",
                                 "backpack",      "umbrella",     "handbag",
                                 "tie",           "suitcase",     "frisbee",
                                 "skis",          "snowboard",    "sports ball",
                                 "kite",          "baseball bat", "baseball glove",
                                 "skateboard",    "surfboard",    "tennis racket",
                                 "bottle",        "wine glass",   "cup",
                                 "fork",          "knife",        "spoon",
                                 "bowl",          "banana",       "apple",
                                 "sandwich",      "orange",       "broccoli",
                                 "carrot",        "hot dog",      "pizza",
                                 "donut",         "cake",         "chair",
                                 "couch",         "potted plant", "bed",
                                 "dining table",  "toilet",       "tv",
                                 "laptop",        "mouse",        "remote",
                                 "keyboard",      "cell phone",   "microwave",
                                 "oven",          "toaster",      "sink",
                                 "refrigerator",  "book",         "clock",
                                 "vase",          "scissors",     "teddy bear",
                                 "hair drier",    "toothbrush"};
constexpr const char* kDota[] = {"plane",
                                 "baseball-diamond",
                                 "bridge",
                                 "ground-track-field",
                                 "small-vehicle",
                                 "large-vehicle",
                                 "ship",
                                 "tennis-court",
                                 "basketball-court",
                                 "storage-tank",
                                 "soccer-ball-field",
                                 "roundabout",
                                 "harbor",
                                 "swimming-pool",
                                 "helicopter"};
static_assert(std::size(kCoco) == 80 && std::size(kDota) == 15);

struct Source {
  std::string where;
  std::vector<std::string> names;
  std::string opaque;  // why its names are not known
};

// A list of names; a plain text is the one name, as in `classes=('ship')`. Nothing if it is
// neither.
std::optional<Source> NamesIn(const PythonValue* value, const std::string& where) {
  if (value == nullptr || value->is_none()) return std::nullopt;
  Source source{.where = where};
  if (value->opaque() != nullptr) {
    source.opaque = *value->opaque();
    return source;
  }
  if (value->string() != nullptr) {
    source.names.push_back(*value->string());
    return source;
  }
  if (value->list() == nullptr || value->list()->empty()) return std::nullopt;
  for (const PythonValue& item : *value->list()) {
    if (item.opaque() != nullptr) source.opaque = *item.opaque();
    if (item.string() == nullptr && item.opaque() == nullptr) return std::nullopt;
    source.names.push_back(item.string() != nullptr ? *item.string() : "");
  }
  return source;
}

// What a data set, or one that it is a wrapper around, says of its classes.
void AddNamesOf(const PythonValue* dataset, const std::string& where,
                std::vector<Source>* sources) {
  for (int i = 0; i < kMaxWrappers && dataset != nullptr && dataset->dict() != nullptr; ++i) {
    if (const PythonValue* metainfo = dataset->Find("metainfo")) {
      for (const char* key : {"classes", "CLASSES"}) {
        if (auto found = NamesIn(metainfo->Find(key), where)) sources->push_back(*std::move(found));
      }
    }
    if (const PythonValue* several = dataset->Find("datasets");
        several != nullptr && several->list() != nullptr && !several->list()->empty()) {
      dataset = &several->list()->front();
    } else {
      dataset = dataset->Find("dataset");
    }
  }
}

std::vector<Source> SourcesIn(const PythonValue& config) {
  std::vector<Source> sources;
  for (const char* loader : {"test_dataloader", "val_dataloader", "train_dataloader"}) {
    AddNamesOf(config.Find({loader, "dataset"}), absl::StrCat(loader, "'s metainfo"), &sources);
  }
  for (const char* key : {"classes", "CLASSES"}) {
    if (auto found = NamesIn(config.Find({"metainfo", key}), "metainfo")) {
      sources.push_back(*std::move(found));
    }
  }
  for (const char* key : {"classes", "CLASSES", "class_names", "class_name"}) {
    if (auto found = NamesIn(config.Find(key), key)) sources.push_back(*std::move(found));
  }
  return sources;
}

ClassNames Standard(int count, bool rotated) {
  ClassNames chosen;
  if (count == static_cast<int>(std::size(kCoco)) && !rotated) {
    chosen.names.assign(std::begin(kCoco), std::end(kCoco));
    chosen.notes.push_back("the file has no class names: those of COCO are taken for its 80");
  } else if (count == static_cast<int>(std::size(kDota)) && rotated) {
    chosen.names.assign(std::begin(kDota), std::end(kDota));
    chosen.notes.push_back("the file has no class names: those of DOTA are taken for its 15");
  } else {
    for (int i = 0; i < count; ++i) chosen.names.push_back(absl::StrCat("class ", i));
    chosen.notes.push_back(
        "the file has no class names, so they are 'class 0' and so on: --classes gives them names");
  }
  return chosen;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReadClassesFlag(const std::string& flag) {
  std::vector<std::string> names;
  if (flag.empty()) return names;
  std::error_code error;
  const bool is_file = std::filesystem::is_regular_file(flag, error);
  const auto invalid = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("--classes=", flag, ": ", what));
  };
  std::string text = flag;
  if (is_file) {
    absl::StatusOr<std::string> read = files::ReadText(flag, kMaxFileBytes);
    if (!read.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--classes=", read.status().message()));
    }
    text = *std::move(read);
    if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  } else if (flag.starts_with('/') || flag.starts_with("./") || flag.ends_with(".txt")) {
    return invalid("there is no such file");
  }
  if (is_file) absl::StripTrailingAsciiWhitespace(&text);
  absl::flat_hash_map<absl::string_view, std::size_t> places;
  for (const absl::string_view part : absl::StrSplit(text, is_file ? '\n' : ',')) {
    const absl::string_view name = absl::StripAsciiWhitespace(part);
    const std::size_t place = names.size() + 1;
    if (name.empty()) return invalid(absl::StrCat(is_file ? "line " : "name ", place, " is empty"));
    if (const auto [before, is_new] = places.emplace(name, place); !is_new) {
      return invalid(absl::StrCat("'", name, "' is there twice, as ", is_file ? "line " : "name ",
                                  before->second, " and ", place));
    }
    names.emplace_back(name);
  }
  return names;
}

absl::StatusOr<ClassNames> ChooseClassNames(const std::vector<std::string>& given,
                                            const std::vector<std::string>& in_checkpoint,
                                            const PythonConfig& config, int count, bool rotated) {
  std::vector<Source> sources;
  if (!given.empty()) {
    sources.push_back({.where = "--classes", .names = given});
  } else {
    if (!in_checkpoint.empty()) {
      sources.push_back({.where = "the checkpoint's meta", .names = in_checkpoint});
    }
    for (Source& source : SourcesIn(config.values)) sources.push_back(std::move(source));
  }
  ClassNames chosen;
  const Source* unknown = nullptr;
  for (const Source& source : sources) {
    if (!source.opaque.empty()) {
      if (unknown == nullptr) unknown = &source;
    } else if (static_cast<int>(source.names.size()) == count) {
      chosen.names = source.names;
      if (!chosen.notes.empty()) {
        chosen.notes.push_back(absl::StrCat("those of ", source.where, " are taken, which fit"));
      }
      return chosen;
    } else {
      chosen.notes.push_back(absl::StrFormat("%s has %d class names but the head has %d classes",
                                             source.where, source.names.size(), count));
    }
  }
  if (!chosen.notes.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(chosen.notes.front(), given.empty() ? "; --classes=FILE names them" : ""));
  }
  if (unknown != nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("model config: the classes of ", unknown->where, " are not understood (",
                     unknown->opaque, "); --classes=FILE names them"));
  }
  return Standard(count, rotated);
}

}  // namespace detector
