#include "text/json_numbers.h"

#include <algorithm>
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

// One with an exponent.
void AppendNumber(std::string_view number, std::string* plain) {
  double value = 0;
  char shortest[32];
  if (std::from_chars(number.data(), number.data() + number.size(), value).ec != std::errc()) {
    plain->append(number);
    return;
  }
  plain->append(shortest, std::to_chars(shortest, shortest + sizeof shortest, value).ptr);
}

// Whether a number's exponent begins there, outside of strings.
bool IsExponent(std::string_view json, std::size_t at) {
  return (json[at] == 'E' || json[at] == 'e') && at > 0 && json[at - 1] >= '0' &&
         json[at - 1] <= '9';
}

}  // namespace

std::string WithPlainNumbers(std::string_view json) {
  constexpr std::string_view kNumber = "+-.0123456789eE";
  std::string plain;
  plain.reserve(json.size());
  std::size_t copied = 0;  // what is before it is in `plain`
  for (std::size_t at = 0; at < json.size();) {
    if (json[at] == '"') {
      at = EndOfString(json, at);
    } else if (IsExponent(json, at)) {
      const std::size_t begin = json.find_last_not_of(kNumber, at) + 1;  // npos + 1 is 0
      const std::size_t end = std::min(json.find_first_not_of(kNumber, at), json.size());
      plain.append(json.substr(copied, begin - copied));
      AppendNumber(json.substr(begin, end - begin), &plain);
      copied = at = end;
    } else {
      ++at;
    }
  }
  plain.append(json.substr(copied));
  return plain;
}

}  // namespace text
