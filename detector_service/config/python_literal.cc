#include "detector_service/config/python_literal.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <cctype>
#include <cstdlib>
#include <map>
#include <optional>

namespace detector {
namespace {

constexpr int kMaxDepth = 64;

bool IsNameStart(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool IsNameChar(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

void AppendUtf8(unsigned code, std::string* out) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xC0 | code >> 6));
    out->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else if (code < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | code >> 12));
    out->push_back(static_cast<char>(0x80 | (code >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else {
    out->push_back(static_cast<char>(0xF0 | (code >> 18 & 7)));
    out->push_back(static_cast<char>(0x80 | (code >> 12 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (code >> 6 & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  PythonConfig Parse() {
    PythonValue::Dict values;
    PythonConfig config;
    while (SkipToStatement()) {
      const std::size_t begin = at_;
      const std::string name = Name();
      SkipSpace();
      // "==" or "+=" or "name(...)" or "import x": no assignment, nothing to keep.
      if (name.empty() || Peek() != '=' || Peek(1) == '=') {
        at_ = begin;
        SkipLine();
        continue;
      }
      ++at_;
      error_.clear();
      names_ = &values;
      std::optional<PythonValue> value = Value(0);
      if (value && !AtEndOfStatement()) value = Fail("an expression");
      if (!value) {
        config.unreadable[name] = error_;
        Erase(&values, name);
        SkipLine();
        continue;
      }
      config.unreadable.erase(name);
      Erase(&values, name);
      values.emplace_back(name, *std::move(value));
    }
    config.values = PythonValue(std::move(values));
    return config;
  }

 private:
  static void Erase(PythonValue::Dict* values, const std::string& name) {
    std::erase_if(*values, [&](const auto& item) { return item.first == name; });
  }

  char Peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }

  // Blanks, line ends and comments.
  void SkipSpace() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        SkipLine();
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\\') {
        ++at_;
      } else {
        return;
      }
    }
  }

  void SkipLine() {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
    if (at_ < text_.size()) ++at_;
  }

  // To the next line that begins with a name in its first column: inside brackets, texts by
  // mmengine and by hand are indented. False at the end.
  bool SkipToStatement() {
    while (at_ < text_.size()) {
      const bool line_start = at_ == 0 || text_[at_ - 1] == '\n';
      if (line_start && IsNameStart(text_[at_])) return true;
      SkipLine();
    }
    return false;
  }

  bool AtEndOfStatement() {
    while (Peek() == ' ' || Peek() == '\t' || Peek() == '\r' || Peek() == ';') ++at_;
    return at_ >= text_.size() || Peek() == '\n' || Peek() == '#';
  }

  std::string Name() {
    const std::size_t begin = at_;
    if (IsNameStart(Peek())) {
      while (IsNameChar(Peek())) ++at_;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::optional<PythonValue> Fail(const std::string& what) {
    if (error_.empty()) {
      int line = 1;
      for (std::size_t i = 0; i < at_ && i < text_.size(); ++i) line += text_[i] == '\n';
      error_ = "line " + std::to_string(line) + ": " + what + " that is not understood";
    }
    return std::nullopt;
  }

  std::optional<PythonValue> Value(int depth) {
    if (depth > kMaxDepth) return Fail("nesting");
    SkipSpace();
    const char c = Peek();
    if (c == '[' || c == '(') return Sequence(c == '[' ? ']' : ')', depth);
    if (c == '{') return Braces(depth);
    if (IsStringStart()) return Strings();
    if (std::isdigit(static_cast<unsigned char>(c)) || c == '-' || c == '+' || c == '.') {
      return Number();
    }
    const std::string name = Name();
    if (name == "None") return PythonValue();
    if (name == "True") return PythonValue(true);
    if (name == "False") return PythonValue(false);
    if (name == "dict" && Peek() == '(') return Arguments(depth);
    for (const auto& [known, value] : *names_) {
      if (known == name) return value;
    }
    return Fail(name.empty() ? "a character" : "'" + name + "'");
  }

  std::optional<PythonValue> Sequence(char close, int depth) {
    ++at_;
    PythonValue::List list;
    bool comma = false;
    while (true) {
      SkipSpace();
      if (Peek() == close) break;
      if (!list.empty() && !comma) return Fail("a list");
      std::optional<PythonValue> value = Value(depth + 1);
      if (!value) return value;
      list.push_back(*std::move(value));
      SkipSpace();
      comma = Peek() == ',';
      if (comma) ++at_;
    }
    ++at_;
    // (x) is x; (x,) is a tuple.
    if (close == ')' && list.size() == 1 && !comma) return std::move(list.front());
    return PythonValue(std::move(list));
  }

  std::optional<PythonValue> Braces(int depth) {
    ++at_;
    PythonValue::Dict dict;
    bool comma = true;
    while (true) {
      SkipSpace();
      if (Peek() == '}') break;
      if (!comma) return Fail("a dict");
      const std::optional<PythonValue> key = Value(depth + 1);
      if (!key) return key;
      SkipSpace();
      if (Peek() != ':') return Fail("a set");
      ++at_;
      std::optional<PythonValue> value = Value(depth + 1);
      if (!value) return value;
      if (key->string() != nullptr) dict.emplace_back(*key->string(), *std::move(value));
      SkipSpace();
      comma = Peek() == ',';
      if (comma) ++at_;
    }
    ++at_;
    return PythonValue(std::move(dict));
  }

  // The brackets of dict(a=1, b=2).
  std::optional<PythonValue> Arguments(int depth) {
    ++at_;
    PythonValue::Dict dict;
    bool comma = true;
    while (true) {
      SkipSpace();
      if (Peek() == ')') break;
      if (!comma) return Fail("a dict");
      std::string key = Name();
      SkipSpace();
      if (key.empty() || Peek() != '=') return Fail("an argument");
      ++at_;
      std::optional<PythonValue> value = Value(depth + 1);
      if (!value) return value;
      dict.emplace_back(std::move(key), *std::move(value));
      SkipSpace();
      comma = Peek() == ',';
      if (comma) ++at_;
    }
    ++at_;
    return PythonValue(std::move(dict));
  }

  std::optional<PythonValue> Number() {
    const std::size_t begin = at_;
    if (Peek() == '-' || Peek() == '+') ++at_;
    bool floating = false;
    std::string digits(text_.substr(begin, at_ - begin));
    while (true) {
      const char c = Peek();
      const bool sign = (c == '-' || c == '+') && (digits.ends_with('e') || digits.ends_with('E'));
      if (c == '.' || c == 'e' || c == 'E') {
        floating = true;
      } else if (!std::isdigit(static_cast<unsigned char>(c)) && c != '_' && !sign) {
        break;
      }
      if (c != '_') digits.push_back(c);
      ++at_;
    }
    if (IsNameChar(Peek())) return Fail("a number");
    char* end = nullptr;
    if (floating) {
      const double value = std::strtod(digits.c_str(), &end);
      if (*end != '\0' || end == digits.c_str()) return Fail("a number");
      return PythonValue(value);
    }
    const std::int64_t value = std::strtoll(digits.c_str(), &end, 10);
    if (*end != '\0' || end == digits.c_str()) return Fail("a number");
    return PythonValue(value);
  }

  bool IsStringStart() const {
    std::size_t i = 0;
    while (i < 2 && (Peek(i) == 'r' || Peek(i) == 'b' || Peek(i) == 'u')) ++i;
    return Peek(i) == '\'' || Peek(i) == '"';
  }

  // One or more adjacent string literals.
  std::optional<PythonValue> Strings() {
    std::string joined;
    do {
      if (!String(&joined)) return std::nullopt;
      // Adjacent literals may stand on the next line only inside brackets; there SkipSpace is
      // harmless, and outside of them the next statement starts with a name.
      const std::size_t before = at_;
      SkipSpace();
      if (!IsStringStart()) at_ = before;
    } while (IsStringStart());
    return PythonValue(std::move(joined));
  }

  bool String(std::string* out) {
    bool raw = false;
    while (IsNameStart(Peek())) {
      raw |= Peek() == 'r';
      ++at_;
    }
    const char quote = Peek();
    const bool triple = Peek(1) == quote && Peek(2) == quote;
    at_ += triple ? 3 : 1;
    while (true) {
      if (at_ >= text_.size() || (!triple && Peek() == '\n')) {
        Fail("a string without end");
        return false;
      }
      const char c = text_[at_++];
      if (c == quote && (!triple || (Peek() == quote && Peek(1) == quote))) {
        if (triple) at_ += 2;
        return true;
      }
      if (c == '\\' && !raw && at_ < text_.size()) {
        Escape(out);
      } else {
        out->push_back(c);
      }
    }
  }

  void Escape(std::string* out) {
    const char c = text_[at_++];
    const int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits > 0) {
      const std::string hex(text_.substr(at_, digits));
      AppendUtf8(static_cast<unsigned>(std::strtoul(hex.c_str(), nullptr, 16)), out);
      at_ += hex.size();
    } else if (c == 'n') {
      out->push_back('\n');
    } else if (c == 't') {
      out->push_back('\t');
    } else if (c == 'r') {
      out->push_back('\r');
    } else if (c == '\\' || c == '\'' || c == '"') {
      out->push_back(c);
    } else if (c != '\n') {  // a backslash at the line's end joins lines
      out->push_back('\\');
      out->push_back(c);
    }
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  const PythonValue::Dict* names_ = nullptr;
  std::string error_;  // of the assignment being read
};

}  // namespace

bool PythonValue::number(double* out) const {
  if (const auto* i = std::get_if<std::int64_t>(&value_)) {
    *out = static_cast<double>(*i);
    return true;
  }
  if (const auto* d = std::get_if<double>(&value_)) {
    *out = *d;
    return true;
  }
  return false;
}

const PythonValue* PythonValue::Find(std::string_view key) const {
  const Dict* entries = dict();
  if (entries == nullptr) return nullptr;
  for (auto it = entries->rbegin(); it != entries->rend(); ++it) {
    if (it->first == key) return &it->second;
  }
  return nullptr;
}

const PythonValue* PythonValue::Find(std::initializer_list<std::string_view> path) const {
  const PythonValue* value = this;
  for (std::string_view key : path) {
    if (value == nullptr) return nullptr;
    value = value->Find(key);
  }
  return value;
}

std::string Canonical(const PythonValue& value) {
  if (value.is_none()) return "None";
  if (const bool* flag = value.boolean()) return *flag ? "True" : "False";
  if (const std::int64_t* integer = value.integer()) return std::to_string(*integer);
  if (const auto* number = std::get_if<double>(&value.value_)) {
    return absl::StrFormat("%.17g.", *number);  // the point tells it from a whole number
  }
  // The length in front: a text may hold anything.
  const auto quoted = [](const std::string& text) {
    return absl::StrCat(text.size(), "'", text, "'");
  };
  if (const std::string* text = value.string()) return quoted(*text);
  std::string all;
  if (const PythonValue::List* list = value.list()) {
    for (const PythonValue& item : *list) all += Canonical(item) + ",";
    return "[" + all + "]";
  }
  std::map<std::string_view, const PythonValue*> by_key;
  for (const auto& [key, item] : *value.dict()) by_key[key] = &item;  // the last one counts
  for (const auto& [key, item] : by_key) {
    all += quoted(std::string(key)) + ":" + Canonical(*item) + ",";
  }
  return "{" + all + "}";
}

PythonConfig ParsePythonConfig(std::string_view text) { return Parser(text).Parse(); }

}  // namespace detector
