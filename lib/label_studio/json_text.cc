#include "label_studio/json_text.h"

#include <array>
#include <charconv>
#include <cmath>

#include "text/utf8.h"

namespace label_studio {

void AppendJsonString(std::string_view text, std::string* json) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string replaced;
  if (!text::IsUtf8(text)) text = replaced = text::ToUtf8(text);
  json->push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json->push_back('\\');
      json->push_back(c);
    } else if (byte < 0x20) {
      json->append("\\u00");
      json->push_back(kHex[byte >> 4]);
      json->push_back(kHex[byte & 15]);
    } else {
      json->push_back(c);
    }
  }
  json->push_back('"');
}

void AppendJsonNumber(double value, std::string* json) {
  const double rounded = std::round(value * 1e6) / 1e6;
  std::array<char, 32> text;
  // Adding 0 turns -0 into 0.
  const auto end = std::to_chars(text.data(), text.data() + text.size(), rounded + 0.0).ptr;
  json->append(text.data(), end);
}

void AppendJsonBytes(absl::Span<const std::uint8_t> bytes, std::string* json) {
  struct Text {
    char digits[4];
    std::uint8_t length;
  };
  // "7,", "42,", "255,": length and characters.
  static constexpr auto kTexts = [] {
    std::array<Text, 256> texts{};
    for (int i = 0; i < 256; ++i) {
      Text& text = texts[i];
      if (i >= 100) text.digits[text.length++] = static_cast<char>('0' + i / 100);
      if (i >= 10) text.digits[text.length++] = static_cast<char>('0' + i / 10 % 10);
      text.digits[text.length++] = static_cast<char>('0' + i % 10);
      text.digits[text.length++] = ',';
    }
    return texts;
  }();
  json->push_back('[');
  const std::size_t start = json->size();
  // Four characters are copied whatever the length; the surplus is overwritten by the next number.
  json->resize(start + bytes.size() * 4);
  char* out = json->data() + start;
  for (const std::uint8_t byte : bytes) {
    const Text& text = kTexts[byte];
    for (int i = 0; i < 4; ++i) out[i] = text.digits[i];
    out += text.length;
  }
  if (!bytes.empty()) --out;  // the last comma
  json->resize(static_cast<std::size_t>(out - json->data()));
  json->push_back(']');
}

}  // namespace label_studio
