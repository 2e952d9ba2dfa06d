#include "detector_service/config/config_file.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "files/text_file.h"
#include "serving/file_access.h"

namespace detector {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;
constexpr int kMaxBases = 16;  // in a chain; mmdet's own configs have three

absl::StatusOr<std::string> ReadText(const std::string& path, const std::string& root) {
  if (!root.empty()) {
    const absl::StatusOr<serving::FileBelow> file = serving::OpenForClient(root, path);
    if (!file.ok()) return file.status();
    absl::StatusOr<std::string> text = file->Read(kMaxBytes);
    if (text.ok()) return text;
    return absl::Status(text.status().code(), absl::StrCat(path, ": ", text.status().message()));
  }
  return files::ReadText(path, kMaxBytes);
}

// The paths in `_base_`, or an error if they aren't known.
absl::StatusOr<std::vector<std::string>> BasePaths(const std::string& path,
                                                   const PythonValue& files) {
  std::vector<std::string> bases;
  if (files.is_none()) return bases;
  const PythonValue single(PythonValue::List{files});
  const PythonValue& listed = files.list() != nullptr ? files : single;
  for (const PythonValue& item : *listed.list()) {
    if (item.string() == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": _base_ is ", item.opaque() != nullptr ? *item.opaque() : "no path",
                       ", which is not understood"));
    }
    if (item.string()->find("::") != std::string::npos) {
      return absl::NotFoundError(absl::StrCat(
          path, ": _base_ '", *item.string(),
          "' is a file of a Python package; copy it beside this one, or give the whole config that "
          "mmengine writes into the work directory"));
    }
    bases.push_back(*item.string());
  }
  return bases;
}

// "..a.b" of a file in x/y/ is x/a/b.py; "" if it is no relative import.
std::string ModulePath(const std::string& path, std::string_view module) {
  if (!module.starts_with(".")) return "";
  module.remove_prefix(1);
  auto folder = std::filesystem::path(path).parent_path();
  for (; module.starts_with("."); module.remove_prefix(1)) folder /= "..";
  std::string relative(module);
  std::replace(relative.begin(), relative.end(), '.', '/');
  return (folder / (relative + ".py")).string();
}

absl::StatusOr<PythonConfig> Read(const std::string& path, const std::string& root, int depth) {
  if (depth > kMaxBases) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": _base_ leads in a circle"));
  }
  const absl::StatusOr<std::string> text = ReadText(path, root);
  if (!text.ok()) return text.status();
  const PythonBases found = FindBases(*text);
  const absl::StatusOr<std::vector<std::string>> bases = BasePaths(path, found.files);
  if (!bases.ok()) return bases.status();
  PythonScope scope;
  if (!bases->empty()) scope.base = PythonValue(PythonValue::Dict());
  for (const std::string& base : *bases) {
    const auto base_path = std::filesystem::path(path).parent_path() / base;
    const absl::StatusOr<PythonConfig> lower = Read(base_path.string(), root, depth + 1);
    if (!lower.ok()) return lower.status();
    for (const auto& [name, value] : *lower->values.dict()) {
      const auto& known = *scope.base.dict();
      if (std::any_of(known.begin(), known.end(), [&](const auto& i) { return i.first == name; })) {
        return absl::InvalidArgumentError(absl::StrCat(
            path, ": '", name, "' stands in two files of _base_, which mmengine refuses"));
      }
    }
    scope.base = Merge(lower->values, scope.base);
  }
  for (const std::string& module : found.modules) {
    const std::string module_path = ModulePath(path, module);
    if (module_path.empty()) continue;  // of a package: opaque
    absl::StatusOr<PythonConfig> lower = Read(module_path, root, depth + 1);
    if (!lower.ok()) return lower.status();
    scope.modules.emplace_back(module, Unshared(lower->values));
  }
  scope.base = Unshared(scope.base);
  const PythonConfig config = ParsePythonConfig(*text, scope);  // which may change the base
  return scope.base.is_none() ? config : PythonConfig{Merge(config.values, scope.base)};
}

}  // namespace

absl::StatusOr<PythonConfig> ReadConfigFile(const std::string& path, const std::string& root) {
  return Read(path, root, 0);
}

}  // namespace detector
