#include "label_studio/task_data.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>

#include <boost/json/array.hpp>
#include <cstdint>

#include "text/str_cat.h"

namespace label_studio {
namespace {

namespace json = boost::json;

// One step of a path like front.images[0]: an object's field or a list's element.
const json::value* Step(const json::value* value, std::string_view key) {
  if (const auto* object = value->if_object()) return object->if_contains(key);
  if (const auto* array = value->if_array()) {
    std::uint32_t index = 0;
    if (absl::SimpleAtoi(text::View(key), &index) && index < array->size()) return &(*array)[index];
  }
  return nullptr;
}

}  // namespace

const json::value* FindInTask(const json::object& data, std::string_view path) {
  if (const auto* value = data.if_contains(path)) return value;
  const json::value* value = nullptr;
  for (const absl::string_view part :
       absl::StrSplit(text::View(path), absl::ByAnyChar(".[]"), absl::SkipEmpty())) {
    const std::string_view key = text::StdView(part);
    value = value == nullptr ? data.if_contains(key) : Step(value, key);
    if (value == nullptr) return nullptr;
  }
  return value;
}

std::size_t PathLength(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size() &&
         (absl::ascii_isalnum(static_cast<unsigned char>(text[length])) ||
          std::string_view("_.[]{}").find(text[length]) != std::string_view::npos)) {
    ++length;
  }
  return length;
}

std::optional<std::string_view> PathOf(std::string_view attribute) {
  if (attribute.size() < 2 || attribute.front() != '$') return std::nullopt;
  const std::string_view path = attribute.substr(1);
  if (PathLength(path) != path.size()) return std::nullopt;
  return path;
}

}  // namespace label_studio
