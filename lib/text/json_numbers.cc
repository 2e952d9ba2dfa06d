#include "text/json_numbers.h"

#include <charconv>
#include <cstddef>

namespace text {
namespace {

// The end of the string that begins at `begin`.
std::size_t EndOfString(std::string_view json, std::size_t begin) {
  std::size_t at = begin + 1;
  while (at < json.size() && json[at] != '"') at += json[at] == '\\' ? 2 : 1;
  return at < json.size() ? at + 1 : json.size();
}

void AppendNumber(std::string_view number, std::string* plain) {
  double value = 0;
  char shortest[32];
  if (number.find_first_of("eE") == std::string_view::npos ||
      std::from_chars(number.data(), number.data() + number.size(), value).ec != std::errc()) {
    plain->append(number);
    return;
  }
  plain->append(shortest, std::to_chars(shortest, shortest + sizeof shortest, value).ptr);
}

}  // namespace

std::string WithPlainNumbers(std::string_view json) {
  std::string plain;
  plain.reserve(json.size());
  std::size_t at = 0;
  while (at < json.size()) {
    const char first = json[at];
    if (first == '"') {
      const std::size_t end = EndOfString(json, at);
      plain.append(json.substr(at, end - at));
      at = end;
    } else if (first == '-' || (first >= '0' && first <= '9')) {
      std::size_t end = json.find_first_not_of("+-.0123456789eE", at);
      if (end == std::string_view::npos) end = json.size();
      AppendNumber(json.substr(at, end - at), &plain);
      at = end;
    } else {
      plain.push_back(first);
      ++at;
    }
  }
  return plain;
}

}  // namespace text
