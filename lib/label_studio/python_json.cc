#include "label_studio/python_json.h"

#include <charconv>

namespace label_studio {
namespace {

constexpr std::string_view kReplacementCharacter = "\\ufffd";
constexpr std::size_t kEscape = 6;  // of \uXXXX

// The code unit of an escape such as "\ud83d" at the beginning of `text`; nothing if there is none.
std::optional<unsigned> EscapedUnit(std::string_view text) {
  if (text.size() < kEscape || text[0] != '\\' || text[1] != 'u') return std::nullopt;
  unsigned unit = 0;
  const char* const end = text.data() + kEscape;
  const auto parsed = std::from_chars(text.data() + 2, end, unit, 16);
  return parsed.ptr == end ? std::optional(unit) : std::nullopt;
}

bool IsHighSurrogate(unsigned unit) { return unit >= 0xD800 && unit <= 0xDBFF; }
bool IsLowSurrogate(unsigned unit) { return unit >= 0xDC00 && unit <= 0xDFFF; }

}  // namespace

PythonJson::PythonJson(std::string_view text)
    : text_(text),
      may_have_any_(text.find("\\ud") != text.npos || text.find("\\uD") != text.npos ||
                    text.find("NaN") != text.npos || text.find("Infinity") != text.npos) {}

std::optional<JsonReplacement> PythonJson::Next() {
  if (!may_have_any_) return std::nullopt;
  while (at_ < text_.size()) {
    if (in_string_) {
      if (const auto found = NextInString()) return found;
      continue;
    }
    const char c = text_[at_];
    if (c == '"') in_string_ = true;
    for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
      if (c != word.front() || !text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return JsonReplacement{at_ - word.size(), at_, "null"};
    }
    ++at_;
  }
  return std::nullopt;
}

// Up to the end of the string.
std::optional<JsonReplacement> PythonJson::NextInString() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '"') {
      in_string_ = false;
      ++at_;
      return std::nullopt;
    }
    if (c != '\\') {
      ++at_;
      continue;
    }
    const std::optional<unsigned> unit = EscapedUnit(text_.substr(at_));
    if (!unit) {
      at_ += 2;  // another escape, perhaps of a backslash or a quote
      continue;
    }
    const std::size_t begin = at_;
    at_ += kEscape;
    if (IsHighSurrogate(*unit)) {
      const std::optional<unsigned> next = EscapedUnit(text_.substr(at_));
      if (next && IsLowSurrogate(*next)) {
        at_ += kEscape;
        continue;
      }
    }
    if (IsHighSurrogate(*unit) || IsLowSurrogate(*unit)) {
      return JsonReplacement{begin, at_, kReplacementCharacter};
    }
  }
  return std::nullopt;
}

}  // namespace label_studio
