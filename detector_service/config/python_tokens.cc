#include "detector_service/config/python_tokens.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace detector {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
// Letters of other alphabets too: names may hold them.
bool IsNameStart(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80) != 0;
}
bool IsNameChar(char c) { return IsNameStart(c) || IsDigit(c); }

// Code points that are no characters (half a surrogate pair) become U+FFFD.
void AppendUtf8(std::uint32_t code, std::string* out) {
  if ((code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) code = 0xFFFD;
  const auto byte = [&](std::uint32_t bits) { out->push_back(static_cast<char>(bits)); };
  if (code < 0x80) return byte(code);
  if (code < 0x800) {
    byte(0xC0 | code >> 6);
  } else if (code < 0x10000) {
    byte(0xE0 | code >> 12);
    byte(0x80 | (code >> 6 & 0x3F));
  } else {
    byte(0xF0 | code >> 18);
    byte(0x80 | (code >> 12 & 0x3F));
    byte(0x80 | (code >> 6 & 0x3F));
  }
  byte(0x80 | (code & 0x3F));
}

// Longest first.
constexpr std::string_view kOperators[] = {
    "**=", "//=", ">>=", "<<=", "...", "**", "//", ">>", "<<", "<=", ">=", "==",
    "!=",  "->",  "+=",  "-=",  "*=",  "/=", "%=", "&=", "|=", "^=", "@=", ":=",
};

class Tokenizer {
 public:
  explicit Tokenizer(std::string_view text) : text_(text) {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;
  }

  PythonLines Split() {
    while (broken_.empty() && at_ < text_.size()) {
      if (SkipBlanks()) continue;
      if (IsStringStart()) {
        String();
      } else if (IsDigit(Peek()) || (Peek() == '.' && IsDigit(Peek(1)))) {
        Number();
      } else if (IsNameStart(Peek())) {
        const std::size_t begin = at_;
        while (IsNameChar(Peek())) ++at_;
        Add(PythonToken::Kind::kName, begin);
      } else {
        Operator();
      }
    }
    if (broken_.empty() && !brackets_.empty()) {
      broken_ = absl::StrFormat("line %d: '%c' is never closed", brackets_.back().second,
                                brackets_.back().first);
    }
    EndLine();
    return {std::move(lines_), std::move(broken_)};
  }

 private:
  char Peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }

  // One blank, comment or line end. False if there is none.
  bool SkipBlanks() {
    const char c = Peek();
    if (c == '\n') {
      if (brackets_.empty()) EndLine();
      ++line_;
      ++at_;
      line_start_ = at_;
      return true;
    }
    if (c == '\\' && (Peek(1) == '\n' || (Peek(1) == '\r' && Peek(2) == '\n'))) {
      at_ += Peek(1) == '\n' ? 2 : 3;
      ++line_;
      return true;
    }
    if (c == '#') {
      while (at_ < text_.size() && Peek() != '\n') ++at_;
      return true;
    }
    if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\0') {
      ++at_;
      return true;
    }
    return false;
  }

  void Add(PythonToken::Kind kind, std::size_t begin, PythonValue value = {}) {
    if (current_.tokens.empty()) current_.indented = begin > line_start_;
    current_.tokens.push_back({kind, text_.substr(begin, at_ - begin), line_, std::move(value)});
  }

  void EndLine() {
    if (current_.tokens.empty()) return;
    current_.tokens.push_back({PythonToken::Kind::kEndOfLine, text_.substr(at_, 0), line_, {}});
    lines_.push_back(std::exchange(current_, {}));
  }

  void Break(const std::string& what) { broken_ = absl::StrCat("line ", line_, ": ", what); }

  void Operator() {
    const char c = Peek();
    if (c == ';' && brackets_.empty()) {
      const bool indented = current_.indented;
      EndLine();
      current_.indented = indented;
      ++at_;
      return;
    }
    const std::size_t begin = at_;
    if (c == '(' || c == '[' || c == '{') brackets_.emplace_back(c, line_);
    if (c == ')' || c == ']' || c == '}') {
      const char open = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (brackets_.empty() || brackets_.back().first != open) {
        return Break(absl::StrFormat("'%c' without '%c'", c, open));
      }
      brackets_.pop_back();
    }
    const std::string_view left = text_.substr(at_);
    const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                     [&](std::string_view op) { return left.starts_with(op); });
    at_ += found == std::end(kOperators) ? 1 : found->size();
    Add(PythonToken::Kind::kOperator, begin);
  }

  void Number() {
    const std::size_t begin = at_;
    const bool prefixed = Peek() == '0' && std::isalpha(static_cast<unsigned char>(Peek(1))) &&
                          Peek(1) != 'e' && Peek(1) != 'E';
    bool real = false;
    std::string digits;
    while (IsNameChar(Peek()) || Peek() == '.' ||
           (!prefixed && (Peek() == '-' || Peek() == '+') &&
            (digits.ends_with('e') || digits.ends_with('E')))) {
      real |= !prefixed && (Peek() == '.' || Peek() == 'e' || Peek() == 'E');
      if (Peek() != '_') digits.push_back(Peek());
      ++at_;
    }
    Add(PythonToken::Kind::kNumber, begin, Parse(digits, prefixed, real));
  }

  PythonValue Parse(const std::string& digits, bool prefixed, bool real) const {
    const auto opaque = [&] {
      return PythonValue::Opaque(absl::StrCat("line ", line_, ": the number ", digits));
    };
    if (real) {
      char* end = nullptr;
      const double value = std::strtod(digits.c_str(), &end);
      return *end == '\0' ? PythonValue(value) : opaque();
    }
    const char kind = prefixed ? static_cast<char>(std::tolower(digits[1])) : '\0';
    const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : prefixed ? 0 : 10;
    if (base == 0) return opaque();
    std::int64_t value = 0;
    const char* const last = digits.data() + digits.size();
    const auto [end, error] =
        std::from_chars(digits.data() + (prefixed ? 2 : 0), last, value, base);
    return error == std::errc() && end == last ? PythonValue(value) : opaque();
  }

  bool IsStringStart() const {
    std::size_t i = 0;
    while (i < 2 && std::string_view("rbuftRBUFT").find(Peek(i)) != std::string_view::npos &&
           Peek(i) != '\0') {
      ++i;
    }
    return Peek(i) == '\'' || Peek(i) == '"';
  }

  void String() {
    const std::size_t begin = at_;
    const int line = line_;
    bool raw = false, opaque = false;
    for (; IsNameStart(Peek()); ++at_) {
      const char prefix = static_cast<char>(std::tolower(Peek()));
      raw |= prefix == 'r';
      opaque |= prefix == 'b' || prefix == 'f' || prefix == 't';
    }
    const char quote = Peek();
    const bool triple = Peek(1) == quote && Peek(2) == quote;
    at_ += triple ? 3 : 1;
    std::string out;
    while (true) {
      if (at_ >= text_.size() || (!triple && Peek() == '\n')) {
        line_ = line;
        return Break("a string without end");
      }
      const char c = text_[at_++];
      line_ += c == '\n';
      if (c == quote && (!triple || (Peek() == quote && Peek(1) == quote))) break;
      if (c == '\\' && at_ < text_.size()) {
        // A raw string keeps the backslash, and the quote after it doesn't end the string.
        if (raw) {
          out.push_back(c);
          line_ += Peek() == '\n';
          out.push_back(text_[at_++]);
        } else {
          Escape(&out);
        }
      } else {
        out.push_back(c);
      }
    }
    if (triple) at_ += 2;
    // mmengine fills in {{ fileDirname }} and {{$VARIABLE:default}}, even within strings.
    opaque |= out.find("{{") != std::string::npos;
    const std::string_view source = text_.substr(begin, std::min<std::size_t>(at_ - begin, 40));
    Add(PythonToken::Kind::kString, begin,
        opaque ? PythonValue::Opaque(absl::StrCat("line ", line, ": ", std::string(source)))
               : PythonValue(std::move(out)));
    current_.tokens.back().line = line;
  }

  void Escape(std::string* out) {
    const char c = text_[at_++];
    constexpr std::string_view kLetters = "abfnrtv\\'\"";
    constexpr std::string_view kMeant = "\a\b\f\n\r\t\v\\'\"";
    const int hex_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (hex_digits > 0 || (c >= '0' && c <= '7')) {
      if (hex_digits == 0) --at_;
      const std::string_view digits = text_.substr(at_, hex_digits > 0 ? hex_digits : 3);
      std::uint32_t code = 0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code,
                                                hex_digits > 0 ? 16 : 8);
      at_ += static_cast<std::size_t>(end - digits.data());
      AppendUtf8(code, out);
    } else if (const std::size_t letter = kLetters.find(c); letter != std::string_view::npos) {
      out->push_back(kMeant[letter]);
    } else if (c == '\n') {  // a backslash at the line's end joins lines
      ++line_;
    } else {
      out->push_back('\\');
      out->push_back(c);
    }
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  std::size_t line_start_ = 0;
  int line_ = 1;
  std::vector<std::pair<char, int>> brackets_;  // open ones, and their lines
  PythonLine current_;
  std::vector<PythonLine> lines_;
  std::string broken_;
};

}  // namespace

PythonLines SplitPython(std::string_view text) { return Tokenizer(text).Split(); }

}  // namespace detector
