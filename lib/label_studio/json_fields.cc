#include "label_studio/json_fields.h"

#include <boost/json/kind.hpp>
#include <boost/json/string.hpp>
#include <cmath>

namespace label_studio {

namespace json = boost::json;

std::optional<double> FiniteNumber(const json::value* value) {
  if (value == nullptr || !value->is_number()) return std::nullopt;
  const double number = value->to_number<double>();
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

std::string_view TextField(const json::object& object, std::string_view field) {
  const json::value* const value = object.if_contains(field);
  const json::string* const text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

std::vector<std::uint8_t> LeadingBytes(const json::array& list) {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(list.size());
  for (const json::value& element : list) {
    const std::int64_t* const byte = element.if_int64();
    if (byte == nullptr || *byte < 0 || *byte > 255) break;
    bytes.push_back(static_cast<std::uint8_t>(*byte));
  }
  return bytes;
}

std::string_view KindName(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return "a number";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "a list";
    case json::kind::object:
      return "an object";
  }
  return "unknown";
}

}  // namespace label_studio
