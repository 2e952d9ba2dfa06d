#include "detector_service/config/config_file.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "serving/file_access.h"

namespace detector {
namespace {

constexpr std::streamsize kMaxBytes = 1 << 20;
constexpr int kMaxBases = 16;  // in a chain; mmdet's own configs have three

absl::StatusOr<std::string> ReadText(const std::string& path, const std::string& root) {
  if (!root.empty()) {
    const absl::StatusOr<serving::FileBelow> file = serving::OpenForClient(root, path);
    if (!file.ok()) return file.status();
    absl::StatusOr<std::string> text = file->Read(kMaxBytes);
    if (text.ok()) return text;
    return absl::Status(text.status().code(), absl::StrCat(path, ": ", text.status().message()));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  std::string text(kMaxBytes + 1, '\0');
  file.read(text.data(), kMaxBytes + 1);
  if (file.bad()) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  if (file.gcount() > kMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is larger than a config can be"));
  }
  text.resize(file.gcount());
  return text;
}

bool SaysDelete(const PythonValue& value) {
  const PythonValue* flag = value.Find("_delete_");
  return flag != nullptr && flag->boolean() != nullptr && *flag->boolean();
}

// `upper` over `lower`.
void Merge(const PythonValue& upper, PythonValue* lower) {
  if (upper.dict() == nullptr || lower->dict() == nullptr || SaysDelete(upper)) {
    *lower = upper;
    if (lower->dict() != nullptr) {
      std::erase_if(*lower->dict(), [](const auto& item) { return item.first == "_delete_"; });
    }
    return;
  }
  for (const auto& [key, value] : *upper.dict()) {
    auto& entries = *lower->dict();
    auto found = entries.begin();
    while (found != entries.end() && found->first != key) ++found;
    if (found == entries.end()) {
      entries.emplace_back(key, value);
    } else {
      Merge(value, &found->second);
    }
  }
}

absl::StatusOr<PythonConfig> Read(const std::string& path, const std::string& root, int depth) {
  if (depth > kMaxBases) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": _base_ leads in a circle"));
  }
  const absl::StatusOr<std::string> text = ReadText(path, root);
  if (!text.ok()) return text.status();
  PythonConfig config = ParsePythonConfig(*text);
  if (config.unreadable.count("_base_") > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": _base_: ", config.unreadable.at("_base_")));
  }
  std::vector<std::string> bases;
  if (const PythonValue* base = config.values.Find("_base_")) {
    if (base->string() != nullptr) bases.push_back(*base->string());
    if (base->list() != nullptr) {
      for (const PythonValue& item : *base->list()) {
        if (item.string() != nullptr) bases.push_back(*item.string());
      }
    }
  }
  PythonConfig merged;
  merged.values = PythonValue(PythonValue::Dict());
  for (const std::string& base : bases) {
    const auto base_path = std::filesystem::path(path).parent_path() / base;
    absl::StatusOr<PythonConfig> lower = Read(base_path.string(), root, depth + 1);
    if (!lower.ok()) return lower.status();
    Merge(lower->values, &merged.values);
    merged.unreadable.merge(std::move(lower->unreadable));
  }
  Merge(config.values, &merged.values);
  merged.unreadable.merge(std::move(config.unreadable));
  return merged;
}

}  // namespace

absl::StatusOr<PythonConfig> ReadConfigFile(const std::string& path, const std::string& root) {
  return Read(path, root, 0);
}

}  // namespace detector
