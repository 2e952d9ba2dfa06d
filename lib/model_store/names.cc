#include "model_store/names.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <system_error>

#include "text/str_cat.h"
#include "text/utf8.h"

namespace model_store {
namespace {

constexpr std::size_t kMaxNameBytes = 64;
constexpr std::string_view kProjectPrefix = "project-";

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

std::string_view NameOf(Kind kind) { return kind == Kind::kDetector ? "detector" : "segmenter"; }

std::optional<Kind> ParseKind(std::string_view text) {
  for (const Kind kind : {Kind::kDetector, Kind::kSegmenter}) {
    if (text == NameOf(kind)) return kind;
  }
  return std::nullopt;
}

absl::Status CheckName(std::string_view name) {
  const bool well_formed =
      !name.empty() && name.size() <= kMaxNameBytes && IsLowerOrDigit(name[0]) &&
      std::all_of(name.begin(), name.end(),
                  [](char c) { return IsLowerOrDigit(c) || c == '.' || c == '_' || c == '-'; });
  if (well_formed && name != kDefaultName) return absl::OkStatus();
  return absl::InvalidArgumentError(text::StrCat(
      "'", text::Utf8Prefix(text::ToUtf8(name.substr(0, 200)), 200), "' is no model's name: ",
      well_formed
          ? "it stands for the checkpoint that a process was started with"
          : "needed are 1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or digit"));
}

std::string ProjectName(std::uint64_t project_id) {
  return text::StrCat(kProjectPrefix, project_id);
}

std::optional<std::uint64_t> ProjectOf(std::string_view name) {
  if (!name.starts_with(kProjectPrefix)) return std::nullopt;
  return ParseVersion(name.substr(kProjectPrefix.size()));
}

std::optional<std::uint64_t> ParseVersion(std::string_view text) {
  std::uint64_t version = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, version);
  if (error != std::errc() || stop != end || text[0] == '0') return std::nullopt;
  return version;
}

bool IsFileName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

}  // namespace model_store
