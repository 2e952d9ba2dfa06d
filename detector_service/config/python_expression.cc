#include "detector_service/config/python_expression.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "detector_service/config/python_config.h"

namespace detector {
namespace {

constexpr int kMaxDepth = 64;   // of nested expressions, and of values
constexpr int kMaxQuoted = 48;  // characters of a text in a message

constexpr std::string_view kBinary[][5] = {{"|"},        {"^"},      {"&"},
                                           {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%", "@"}};
constexpr int kBinaryLevels = static_cast<int>(std::size(kBinary));

struct Deeper {
  explicit Deeper(int* depth) : depth(*depth) { ++this->depth; }
  ~Deeper() { --depth; }
  int& depth;
};

// As Python's bool(); absent if it is opaque.
std::optional<bool> Truth(const PythonValue& value) {
  double number = 0;
  if (value.opaque() != nullptr) return std::nullopt;
  if (value.is_none()) return false;
  if (value.boolean() != nullptr) return *value.boolean();
  if (value.number(&number)) return number != 0;
  if (value.string() != nullptr) return !value.string()->empty();
  if (value.list() != nullptr) return !value.list()->empty();
  if (!value.dict()->rest.is_none()) return std::nullopt;
  return !value.dict()->empty();
}

// Booleans count as 0 and 1.
std::optional<std::int64_t> AsInteger(const PythonValue& value) {
  if (value.integer() != nullptr) return *value.integer();
  if (value.boolean() != nullptr) return *value.boolean() ? 1 : 0;
  return std::nullopt;
}

std::optional<double> AsReal(const PythonValue& value) {
  if (value.real() != nullptr) return *value.real();
  if (const auto integer = AsInteger(value)) return static_cast<double>(*integer);
  return std::nullopt;
}

std::optional<std::int64_t> FloorDivide(std::int64_t a, std::int64_t b) {
  if (b == 0 || (b == -1 && a == std::numeric_limits<std::int64_t>::min())) return std::nullopt;
  return a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}

std::optional<std::int64_t> IntegerPower(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0 || exponent > 64) return std::nullopt;
  std::int64_t power = 1;
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(power, base, &power)) return std::nullopt;
  }
  return power;
}

// Absent where Python would raise, or give an integer that doesn't fit.
std::optional<PythonValue> IntegerArithmetic(std::string_view op, std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  if (op == "+" && !__builtin_add_overflow(a, b, &out)) return PythonValue(out);
  if (op == "-" && !__builtin_sub_overflow(a, b, &out)) return PythonValue(out);
  if (op == "*" && !__builtin_mul_overflow(a, b, &out)) return PythonValue(out);
  if (op == "|") return PythonValue(a | b);
  if (op == "&") return PythonValue(a & b);
  if (op == "^") return PythonValue(a ^ b);
  if (op == "<<" && b >= 0 && b < 62 && !__builtin_mul_overflow(a, std::int64_t{1} << b, &out)) {
    return PythonValue(out);
  }
  if (op == ">>" && b >= 0 && b < 63) return PythonValue(a >> b);
  if (op == "//" || op == "%") {
    const auto quotient = FloorDivide(a, b);
    if (!quotient) return std::nullopt;
    return PythonValue(op == "//" ? *quotient : a - *quotient * b);
  }
  if (op == "**" && b >= 0) {
    const auto power = IntegerPower(a, b);
    return power ? std::optional(PythonValue(*power)) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<PythonValue> RealArithmetic(std::string_view op, double a, double b) {
  double out = std::numeric_limits<double>::quiet_NaN();
  if (op == "+") out = a + b;
  if (op == "-") out = a - b;
  if (op == "*") out = a * b;
  if (op == "/" && b != 0) out = a / b;
  if ((op == "//" || op == "%") && b != 0) {
    double rest = std::fmod(a, b);
    if (rest != 0 && (b < 0) != (rest < 0)) rest += b;
    const double quotient = (a - rest) / b;
    double whole = std::floor(quotient);
    if (quotient - whole > 0.5) whole += 1;
    out = op == "%" ? rest : whole;
  }
  if (op == "**") out = std::pow(a, b);
  if (std::isnan(out) || (std::isinf(out) && !std::isinf(a) && !std::isinf(b))) return std::nullopt;
  return PythonValue(out);
}

std::optional<PythonValue> Arithmetic(std::string_view op, const PythonValue& left,
                                      const PythonValue& right) {
  const auto a = AsInteger(left), b = AsInteger(right);
  if (a && b && op != "/" && !(op == "**" && *b < 0)) return IntegerArithmetic(op, *a, *b);
  // Beyond this a double is not the integer, and Python divides integers exactly.
  constexpr std::int64_t kExact = std::int64_t{1} << 53;
  for (const auto& integer : {a, b}) {
    if (integer && (*integer > kExact || *integer < -kExact)) return std::nullopt;
  }
  const auto x = AsReal(left), y = AsReal(right);
  return x && y ? RealArithmetic(op, *x, *y) : std::nullopt;
}

std::optional<PythonValue> Compare(std::string_view op, const PythonValue& left,
                                   const PythonValue& right) {
  const auto decide = [&](const auto& a, const auto& b) -> std::optional<PythonValue> {
    if (op == "==") return PythonValue(a == b);
    if (op == "!=") return PythonValue(a != b);
    if (op == "<") return PythonValue(a < b);
    if (op == "<=") return PythonValue(a <= b);
    if (op == ">") return PythonValue(a > b);
    if (op == ">=") return PythonValue(a >= b);
    return std::nullopt;
  };
  const auto x = AsReal(left), y = AsReal(right);
  if (x && y) return decide(*x, *y);
  if (left.string() != nullptr && right.string() != nullptr) {
    return decide(*left.string(), *right.string());
  }
  return std::nullopt;
}

}  // namespace

PythonExpression::PythonExpression(const std::vector<PythonToken>& tokens, PythonNames* names,
                                   PythonBudget* budget)
    : tokens_(tokens), names_(*names), budget_(*budget) {}

const PythonToken& PythonExpression::Ahead(std::size_t count) const {
  return tokens_[std::min(at_ + count, tokens_.size() - 1)];
}

void PythonExpression::Advance(std::size_t count) {
  at_ = std::min(at_ + count, tokens_.size() - 1);
}

bool PythonExpression::Accept(std::string_view op) {
  if (!Is(op)) return false;
  Advance();
  return true;
}

bool PythonExpression::AtOneOf(const std::vector<std::string_view>& ends) const {
  return token().kind == PythonToken::Kind::kEndOfLine ||
         std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return Is(end); });
}

void PythonExpression::SkipTo(const std::vector<std::string_view>& ends) {
  for (int open = 0; token().kind != PythonToken::Kind::kEndOfLine; Advance()) {
    if (open == 0 && AtOneOf(ends)) return;
    if (Is("(") || Is("[") || Is("{")) ++open;
    if (Is(")") || Is("]") || Is("}")) {
      if (open == 0) return;
      --open;
    }
  }
}

std::string PythonExpression::Quote(std::size_t begin, std::size_t end) const {
  const char* const first = tokens_[begin].text.data();
  const PythonToken& last = tokens_[std::max(end, begin + 1) - 1];
  const std::string_view source(
      first, std::max<std::ptrdiff_t>(last.text.data() + last.text.size() - first, 0));
  std::string quoted;
  for (char c : source.substr(0, 4 * kMaxQuoted)) {
    const bool blank = c == ' ' || c == '\n' || c == '\r' || c == '\t';
    if (!blank) quoted.push_back(c);
    if (blank && !quoted.empty() && quoted.back() != ' ') quoted.push_back(' ');
  }
  if (quoted.size() > kMaxQuoted) {
    std::size_t length = kMaxQuoted;
    while (length > 0 && (quoted[length] & 0xC0) == 0x80) --length;  // no half characters
    quoted = quoted.substr(0, length) + "…";
  }
  return absl::StrCat("line ", tokens_[begin].line, ": '", quoted, "'");
}

PythonValue PythonExpression::OpaqueSince(std::size_t begin) const {
  return PythonValue::Opaque(Quote(begin, at_));
}

PythonValue PythonExpression::Limited(PythonValue value, std::int64_t size, std::size_t begin) {
  if (budget_.Take(size) && value.height() <= kMaxDepth) return value;
  return PythonValue::Opaque(absl::StrCat(Quote(begin, at_), ", too large"));
}

PythonValue PythonExpression::Evaluate(const std::vector<std::string_view>& ends) {
  const std::size_t begin = at_;
  std::vector<std::string_view> element_ends = ends;
  element_ends.push_back(",");
  PythonValue::List parts;
  bool comma = false;
  while (!AtOneOf(ends)) {
    if (Is(")") || Is("]") || Is("}")) break;  // the text is broken here
    const bool spread = Accept("*");
    PythonValue value = Element(element_ends);
    if (spread) value = OpaqueSince(begin);
    parts.push_back(std::move(value));
    if (!Accept(",")) break;
    comma = true;
  }
  if (parts.empty()) return PythonValue::Opaque(Quote(begin, begin));
  if (!comma) return std::move(parts.front());
  const auto size = static_cast<std::int64_t>(parts.size());
  return Limited(PythonValue(std::move(parts), /*is_tuple=*/true), size, begin);
}

// One expression; what is left of it, if it goes on in a way that isn't understood, is skipped.
PythonValue PythonExpression::Element(const std::vector<std::string_view>& ends) {
  const std::size_t begin = at_;
  PythonValue value = Ternary();
  if (AtOneOf(ends)) return value;
  SkipTo(ends);
  return OpaqueSince(begin);
}

PythonValue PythonExpression::Ternary() {
  const std::size_t begin = at_;
  const Deeper deeper(&depth_);
  if (depth_ > kMaxDepth) {
    return PythonValue::Opaque(absl::StrCat(Quote(begin, begin), ", nested too deeply"));
  }
  if (token().IsName("lambda")) {
    SkipTo({":"});
    if (!Accept(":")) return OpaqueSince(begin);
    ++uncertain_;
    Ternary();
    --uncertain_;
    return OpaqueSince(begin);
  }
  PythonValue value = Or();
  if (!token().IsName("if")) return value;
  Advance();
  const std::optional<bool> condition = Truth(Or());
  if (!token().IsName("else")) return OpaqueSince(begin);
  Advance();
  ++uncertain_;
  PythonValue other = Ternary();
  --uncertain_;
  if (!condition) return OpaqueSince(begin);
  return *condition ? value : other;
}

PythonValue PythonExpression::Or() {
  const std::size_t begin = at_;
  PythonValue value = And();
  while (token().IsName("or")) {
    Advance();
    ++uncertain_;
    PythonValue right = And();
    --uncertain_;
    const std::optional<bool> truth = Truth(value);
    value = !truth ? OpaqueSince(begin) : *truth ? value : right;
  }
  return value;
}

PythonValue PythonExpression::And() {
  const std::size_t begin = at_;
  PythonValue value = Not();
  while (token().IsName("and")) {
    Advance();
    ++uncertain_;
    PythonValue right = Not();
    --uncertain_;
    const std::optional<bool> truth = Truth(value);
    value = !truth ? OpaqueSince(begin) : *truth ? right : value;
  }
  return value;
}

PythonValue PythonExpression::Not() {
  const std::size_t begin = at_;
  bool negated = false, any = false;
  while (token().IsName("not")) {
    Advance();
    negated = !negated;
    any = true;
  }
  PythonValue value = Comparison();
  if (!any) return value;
  const std::optional<bool> truth = Truth(value);
  return truth ? PythonValue(*truth != negated) : OpaqueSince(begin);
}

PythonValue PythonExpression::Comparison() {
  const std::size_t begin = at_;
  PythonValue left = Binary(0);
  int count = 0;
  PythonValue result = left;
  while (true) {
    std::string op(token().text);
    const bool word = token().IsName("is") || token().IsName("in") ||
                      (token().IsName("not") && Ahead(1).IsName("in"));
    constexpr std::string_view kOps[] = {"==", "!=", "<", "<=", ">", ">="};
    if (!word && (token().kind != PythonToken::Kind::kOperator ||
                  std::find(std::begin(kOps), std::end(kOps), op) == std::end(kOps))) {
      return result;
    }
    Advance();
    if ((op == "is" && token().IsName("not")) || op == "not") {
      op += " not";
      Advance();
    }
    const PythonValue right = Binary(0);
    std::optional<PythonValue> compared;
    if (op.starts_with("is") && right.is_none() && left.opaque() == nullptr) {
      compared = PythonValue(left.is_none() == (op == "is"));
    } else {
      compared = Compare(op, left, right);
    }
    // A chain of comparisons is more than one.
    result = compared && ++count == 1 ? *compared : OpaqueSince(begin);
  }
}

PythonValue PythonExpression::Binary(int level) {
  if (level == kBinaryLevels) return Unary();
  PythonValue left = Binary(level + 1);
  while (token().kind == PythonToken::Kind::kOperator &&
         std::any_of(std::begin(kBinary[level]), std::end(kBinary[level]),
                     [&](std::string_view op) { return !op.empty() && Is(op); })) {
    const std::string_view op = token().text;
    Advance();
    left = Operate(op, left, Binary(level + 1));
  }
  return left;
}

PythonValue PythonExpression::Operate(std::string_view op, const PythonValue& left,
                                      const PythonValue& right) {
  if (left.opaque() != nullptr) return PythonValue::Opaque(*left.opaque());
  if (right.opaque() != nullptr) return PythonValue::Opaque(*right.opaque());
  if (auto result = Arithmetic(op, left, right)) return *std::move(result);
  const auto too_large = [&] {
    return PythonValue::Opaque(absl::StrCat(Quote(at_ - 1, at_), ", too large"));
  };
  if (op == "+" && left.string() != nullptr && right.string() != nullptr) {
    std::string joined = *left.string() + *right.string();
    if (!budget_.Take(static_cast<std::int64_t>(joined.size()))) return too_large();
    return PythonValue(std::move(joined));
  }
  if (op == "+" && left.list() != nullptr && right.list() != nullptr &&
      left.is_tuple() == right.is_tuple()) {
    if (!budget_.Take(static_cast<std::int64_t>(left.list()->size() + right.list()->size()))) {
      return too_large();
    }
    PythonValue::List joined = *left.list();
    joined.insert(joined.end(), right.list()->begin(), right.list()->end());
    return PythonValue(std::move(joined), left.is_tuple());
  }
  const PythonValue& many = AsInteger(left) ? right : left;
  const std::optional<std::int64_t> times = AsInteger(AsInteger(left) ? left : right);
  if (op == "*" && times && (many.list() != nullptr || many.string() != nullptr)) {
    const auto length = static_cast<std::int64_t>(many.list() != nullptr ? many.list()->size()
                                                                         : many.string()->size());
    const std::int64_t count = std::max<std::int64_t>(*times, 0);
    if ((length > 0 && count > budget_.work / length) || !budget_.Take(length * count)) {
      return too_large();
    }
    if (many.list() == nullptr) {
      std::string text;
      for (std::int64_t i = 0; length > 0 && i < count; ++i) text += *many.string();
      return PythonValue(std::move(text));
    }
    PythonValue::List items;
    for (std::int64_t i = 0; length > 0 && i < count; ++i) {
      items.insert(items.end(), many.list()->begin(), many.list()->end());
    }
    return PythonValue(std::move(items), many.is_tuple());
  }
  return PythonValue::Opaque(
      absl::StrCat("line ", tokens_[at_ - 1].line, ": a result of '", std::string(op), "'"));
}

PythonValue PythonExpression::Unary() {
  const std::size_t begin = at_;
  const Deeper deeper(&depth_);
  if (depth_ > kMaxDepth) {
    return PythonValue::Opaque(absl::StrCat(Quote(begin, begin), ", nested too deeply"));
  }
  if (Accept("-")) return Operate("-", PythonValue(std::int64_t{0}), Unary());
  if (Accept("+")) return Operate("+", PythonValue(std::int64_t{0}), Unary());
  if (Accept("~")) {
    Unary();
    return OpaqueSince(begin);
  }
  return Power();
}

PythonValue PythonExpression::Power() {
  PythonValue base = Primary();
  if (!Accept("**")) return base;
  return Operate("**", base, Unary());
}

PythonValue PythonExpression::Primary() {
  const std::size_t begin = at_;
  PythonValue value = Atom();
  while (true) {
    if (Is("[")) {
      value = Subscript(value);
    } else if (Is("(")) {
      const Arguments arguments = ReadArguments();
      const PythonValue result = OpaqueSince(begin);
      // A function of this text may change what it is given.
      const bool imported = value.symbol() != nullptr;
      for (PythonValue given : arguments.positional) {
        if (!imported) given.BecomeOpaque(*result.opaque());
      }
      for (auto [key, given] : arguments.named) {
        if (!imported) given.BecomeOpaque(*result.opaque());
      }
      value = result;
    } else if (Is(".") && Ahead(1).kind == PythonToken::Kind::kName) {
      const std::string name(Ahead(1).text);
      Advance(2);
      if (Is("(")) {
        value = Method(std::move(value), name);
      } else if (const std::string* symbol = value.symbol()) {
        const std::string dotted = absl::StrCat(*symbol, ".", name);
        value = dotted == "math.inf" || dotted == "numpy.inf"
                    ? PythonValue(std::numeric_limits<double>::infinity())
                    : PythonValue::Opaque(Quote(begin, at_), dotted);
      } else {
        const PythonValue* found = value.Find(name);
        value = found != nullptr ? PythonValue(*found) : OpaqueSince(begin);
      }
    } else {
      return value;
    }
  }
}

PythonValue PythonExpression::Atom() {
  const std::size_t begin = at_;
  const PythonToken& first = token();
  switch (first.kind) {
    case PythonToken::Kind::kNumber:
      Advance();
      return first.value;
    case PythonToken::Kind::kString:
      return Strings();
    case PythonToken::Kind::kEndOfLine:
      return OpaqueSince(begin);
    case PythonToken::Kind::kOperator:
      if (Is("(")) return Sequence(")");
      if (Is("[")) return Sequence("]");
      if (Is("{")) return Braces();
      return PythonValue::Opaque(Quote(begin, begin + 1));
    case PythonToken::Kind::kName:
      break;
  }
  if (first.text == "else" || first.text == "for" || first.text == "in") {
    return PythonValue::Opaque(Quote(begin, begin + 1));
  }
  Advance();
  if (first.text == "None") return PythonValue();
  if (first.text == "True") return PythonValue(true);
  if (first.text == "False") return PythonValue(false);
  if (const auto known = names_.find(first.text); known != names_.end()) return known->second;
  if (Is("(")) return Function(first.text, begin);
  // mmengine writes float('inf') so.
  if (first.text == "inf") return PythonValue(std::numeric_limits<double>::infinity());
  if (first.text == "nan") return PythonValue(std::numeric_limits<double>::quiet_NaN());
  return OpaqueSince(begin);
}

// One or more adjacent string literals.
PythonValue PythonExpression::Strings() {
  const std::size_t begin = at_;
  if (Ahead(1).kind != PythonToken::Kind::kString) {
    Advance();
    return tokens_[begin].value;
  }
  std::string joined;
  bool opaque = false;
  for (; token().kind == PythonToken::Kind::kString; Advance()) {
    if (const std::string* part = token().value.string()) {
      joined += *part;
    } else {
      opaque = true;
    }
  }
  return opaque ? OpaqueSince(begin) : PythonValue(std::move(joined));
}

// [a, b], (a, b) or (a).
PythonValue PythonExpression::Sequence(std::string_view close) {
  const std::size_t begin = at_;
  Advance();
  const std::vector<std::string_view> ends = {",", close};
  PythonValue::List list;
  bool comma = false, known = true;
  while (!Is(close) && token().kind != PythonToken::Kind::kEndOfLine) {
    if (!list.empty() && !comma) break;
    const bool spread = Accept("*");
    PythonValue value = Ternary();
    if (token().IsName("for") || token().IsName("async")) {  // a comprehension
      known = false;
      SkipTo({close});
      break;
    }
    if (!AtOneOf(ends)) {
      SkipTo(ends);
      value = OpaqueSince(begin);
    }
    if (!spread) {
      list.push_back(std::move(value));
    } else if (value.list() == nullptr ||
               !budget_.Take(static_cast<std::int64_t>(value.list()->size()))) {
      known = false;
    } else {
      const PythonValue::List items = *value.list();
      list.insert(list.end(), items.begin(), items.end());
    }
    comma = Accept(",") || spread;
  }
  SkipTo({close});
  Advance();
  if (!known) return OpaqueSince(begin);
  if (close == ")" && list.size() == 1 && !comma) return std::move(list.front());
  const auto size = static_cast<std::int64_t>(list.size()) + 1;
  return Limited(PythonValue(std::move(list), close == ")"), size, begin);
}

// mmengine's {{_base_.a.b}}. The current token is the first brace.
PythonValue PythonExpression::BaseVariable() {
  const std::size_t begin = at_;
  Advance(2);
  PythonValue value = Primary();
  const bool closed = Accept("}") && Accept("}");
  return closed ? value : OpaqueSince(begin);
}

PythonValue PythonExpression::Braces() {
  const std::size_t begin = at_;
  if (Ahead(1).Is("{") && Ahead(2).IsName("_base_")) return BaseVariable();
  Advance();
  PythonValue::Dict dict;
  const auto skip_all = [&] {
    SkipTo({"}"});
    Advance();
    return OpaqueSince(begin);
  };
  while (!Is("}") && token().kind != PythonToken::Kind::kEndOfLine) {
    if (Accept("**")) {
      const PythonValue part = Element({",", "}"});
      // An opaque part may replace what stands before it.
      if (!Spread(part, &dict)) dict.items.clear();
    } else {
      const PythonValue key = Ternary();
      if (!Accept(":")) return skip_all();  // a set, or a comprehension
      PythonValue value = Ternary();
      if (token().IsName("for") || token().IsName("async")) return skip_all();
      if (!AtOneOf({",", "}"})) {
        SkipTo({",", "}"});
        value = OpaqueSince(begin);
      }
      if (key.string() != nullptr) dict.items.emplace_back(*key.string(), std::move(value));
      if (key.opaque() != nullptr) dict.rest = key;
    }
    if (!Accept(",") && !Is("}")) return skip_all();
  }
  Advance();
  const auto size = static_cast<std::int64_t>(dict.size()) + 1;
  return Limited(PythonValue(std::move(dict)), size, begin);
}

// Adds the keys of `value`. False, with the dict's rest opaque, if some of them are not known.
bool PythonExpression::Spread(const PythonValue& value, PythonValue::Dict* dict) {
  const PythonValue::Dict* other = value.dict();
  if (other == nullptr || !budget_.Take(static_cast<std::int64_t>(other->size()))) {
    dict->rest = value.opaque() != nullptr ? value : OpaqueSince(at_ - 1);
    return false;
  }
  const std::vector<PythonValue::Dict::Item> items = other->items;  // it may be the dict's own
  const PythonValue rest = other->rest;
  for (const auto& [key, item] : items) dict->items.emplace_back(key, item);
  if (rest.is_none()) return true;
  dict->rest = rest;
  return false;
}

PythonExpression::Arguments PythonExpression::ReadArguments() {
  Arguments arguments;
  const std::vector<std::string_view> ends = {",", ")"};
  Advance();
  while (!Is(")") && token().kind != PythonToken::Kind::kEndOfLine) {
    if (Accept("**")) {
      arguments.certain &= Spread(Element(ends), &arguments.named);
    } else if (Accept("*")) {
      const PythonValue part = Element(ends);
      arguments.certain = false;
      if (part.list() != nullptr) arguments.positional = *part.list();
    } else if (token().kind == PythonToken::Kind::kName && Ahead(1).Is("=")) {
      const std::string key(token().text);
      Advance(2);
      arguments.named.items.emplace_back(key, Element(ends));
    } else {
      arguments.positional.push_back(Ternary());
      if (!AtOneOf(ends)) {  // a generator, or what isn't understood
        arguments.positional.back() = OpaqueSince(at_);
        SkipTo({")"});
      }
    }
    if (!Accept(",")) SkipTo({")"});
  }
  Advance();
  return arguments;
}

PythonValue PythonExpression::Subscript(const PythonValue& value) {
  const std::size_t begin = at_;
  Advance();
  const bool empty_start = Is(":");
  const PythonValue first = empty_start ? PythonValue(std::int64_t{0}) : Evaluate({"]", ":"});
  const bool slice = Accept(":");
  PythonValue last;
  if (slice && !Is("]")) last = Evaluate({"]", ":"});
  const bool complete = Is("]");
  SkipTo({"]"});
  Advance();
  if (!complete || value.opaque() != nullptr) return OpaqueSince(begin);
  if (first.string() != nullptr && !slice) {
    const PythonValue* found = value.Find(*first.string());
    return found != nullptr ? *found : OpaqueSince(begin);
  }
  const PythonValue::List* list = value.list();
  const auto index = AsInteger(first);
  if (list == nullptr || !index) return OpaqueSince(begin);
  const auto size = static_cast<std::int64_t>(list->size());
  const auto from_start = [&](std::int64_t i) { return i < 0 ? i + size : i; };
  if (!slice) {
    const std::int64_t i = from_start(*index);
    return i >= 0 && i < size ? (*list)[i] : OpaqueSince(begin);
  }
  if (!last.is_none() && !AsInteger(last)) return OpaqueSince(begin);
  const auto clamp = [&](std::int64_t i) {
    return std::clamp<std::int64_t>(from_start(i), 0, size);
  };
  const std::int64_t i = clamp(*index);
  const std::int64_t end = std::max(i, last.is_none() ? size : clamp(*AsInteger(last)));
  if (!budget_.Take(end - i)) return OpaqueSince(begin);
  return PythonValue(PythonValue::List(list->begin() + i, list->begin() + end), value.is_tuple());
}

PythonValue PythonExpression::Method(PythonValue value, const std::string& name) {
  const std::size_t begin = at_ - 1;
  const PythonValue callee = value;
  const Arguments arguments = ReadArguments();
  const PythonValue::List& given = arguments.positional;
  if (const std::string* symbol = value.symbol(); symbol != nullptr && *symbol == "copy") {
    if (given.size() == 1 && name == "deepcopy") {
      if (auto copy = Copy(given[0], 0)) return *copy;
    }
    if (given.size() == 1 && name == "copy") value = given[0];
  }
  if (name == "copy" && arguments.certain) {
    const PythonValue::List* list = value.list();
    const PythonValue::Dict* dict = value.dict();
    const std::size_t size = list != nullptr ? list->size() : dict != nullptr ? dict->size() : 0;
    if (!budget_.Take(static_cast<std::int64_t>(size))) return OpaqueSince(begin);
    if (list != nullptr) return PythonValue(*list);
    if (dict != nullptr) return PythonValue(*dict);
  }
  if (name == "get" && value.dict() != nullptr && !given.empty() && given[0].string() != nullptr) {
    if (const PythonValue* found = value.Find(*given[0].string())) return *found;
    return given.size() > 1 ? given[1] : PythonValue();
  }
  constexpr std::string_view kReading[] = {"get",   "items",  "keys",    "values", "index",
                                           "count", "format", "to_dict", "join"};
  if (value.identity() == nullptr ||
      std::find(std::begin(kReading), std::end(kReading), name) != std::end(kReading)) {
    return OpaqueSince(begin);
  }
  return Change(value, name, arguments);
}

// A method that changes the list or dict `value`.
PythonValue PythonExpression::Change(PythonValue value, const std::string& name,
                                     const Arguments& arguments) {
  const PythonValue::List& given = arguments.positional;
  const auto give_up = [&] {
    value.BecomeOpaque(Quote(at_ - 1, at_) + " changed it by '" + name + "'");
    return PythonValue::Opaque(*value.opaque());
  };
  if (--budget_.changes < 0 || uncertain_ > 0 || !arguments.certain) return give_up();
  for (const PythonValue& part : given) {
    if (Holds(part, value.identity(), 0)) return give_up();
  }
  for (const auto& [key, part] : arguments.named) {
    if (Holds(part, value.identity(), 0)) return give_up();
  }
  if (PythonValue::Dict* dict = value.shared_dict()) {
    if (name == "update" && given.size() <= 1) {
      PythonValue::Dict added;
      if (given.size() == 1 && !Spread(given[0], &added)) return give_up();
      if (!Spread(PythonValue(arguments.named), &added)) return give_up();
      if (!budget_.Take(static_cast<std::int64_t>(added.size() * dict->size()))) return give_up();
      for (const auto& [key, item] : added) {
        const PythonValue* known = value.Find(key);
        const bool both = known != nullptr && known->dict() != nullptr && item.dict() != nullptr;
        // A dict of _base_ merges, one of this text doesn't, and nothing tells them apart here.
        dict->Set(key, !both                 ? item
                       : budget_.dicts_merge ? Merge(item, *known)
                                             : PythonValue::Opaque(Quote(at_ - 1, at_) +
                                                                   " updates a dict in a dict"));
      }
      return PythonValue();
    }
    if (name == "pop" && !given.empty() && given[0].string() != nullptr && dict->rest.is_none()) {
      const PythonValue* found = value.Find(*given[0].string());
      PythonValue popped = found != nullptr ? *found : given.size() > 1 ? given[1] : PythonValue();
      std::erase_if(dict->items,
                    [&](const auto& item) { return item.first == *given[0].string(); });
      return popped;
    }
  }
  if (PythonValue::List* list = value.shared_list(); list != nullptr && given.size() <= 2) {
    const auto size = static_cast<std::int64_t>(list->size());
    if (name == "append" && given.size() == 1) {
      list->push_back(given[0]);
      return PythonValue();
    }
    if (name == "extend" && given.size() == 1 && given[0].list() != nullptr &&
        budget_.Take(static_cast<std::int64_t>(given[0].list()->size()))) {
      const PythonValue::List items = *given[0].list();
      list->insert(list->end(), items.begin(), items.end());
      return PythonValue();
    }
    const auto index = given.empty() ? std::optional<std::int64_t>(-1) : AsInteger(given[0]);
    if (name == "insert" && given.size() == 2 && index) {
      const std::int64_t i = std::clamp<std::int64_t>(*index < 0 ? *index + size : *index, 0, size);
      list->insert(list->begin() + i, given[1]);
      return PythonValue();
    }
    if (name == "pop" && given.size() <= 1 && index && size > 0) {
      const std::int64_t i = *index < 0 ? *index + size : *index;
      if (i < 0 || i >= size) return give_up();
      PythonValue popped = (*list)[i];
      list->erase(list->begin() + i);
      return popped;
    }
  }
  return give_up();
}

bool PythonExpression::Holds(const PythonValue& value, const void* container, int depth) {
  if (value.identity() == nullptr) return false;
  if (value.identity() == container || depth > kMaxDepth || !budget_.Take(1)) return true;
  if (const PythonValue::List* list = value.list()) {
    return std::any_of(list->begin(), list->end(),
                       [&](const PythonValue& item) { return Holds(item, container, depth + 1); });
  }
  const PythonValue::Dict* dict = value.dict();
  return dict != nullptr && std::any_of(dict->begin(), dict->end(), [&](const auto& item) {
           return Holds(item.second, container, depth + 1);
         });
}

std::optional<PythonValue> PythonExpression::Copy(const PythonValue& value, int depth) {
  if (!budget_.Take(1) || depth > kMaxDepth) return std::nullopt;
  if (const PythonValue::List* list = value.list()) {
    PythonValue::List items;
    for (const PythonValue& item : *list) {
      std::optional<PythonValue> copy = Copy(item, depth + 1);
      if (!copy) return std::nullopt;
      items.push_back(*std::move(copy));
    }
    return PythonValue(std::move(items), value.is_tuple());
  }
  if (const PythonValue::Dict* dict = value.dict()) {
    PythonValue::Dict items;
    items.rest = dict->rest;
    for (const auto& [key, item] : *dict) {
      std::optional<PythonValue> copy = Copy(item, depth + 1);
      if (!copy) return std::nullopt;
      items.items.emplace_back(key, *std::move(copy));
    }
    return PythonValue(std::move(items));
  }
  return value;
}

PythonValue PythonExpression::Function(std::string_view name, std::size_t begin) {
  const Arguments arguments = ReadArguments();
  const PythonValue::List& given = arguments.positional;
  if (name == "dict" && given.size() <= 1) {
    PythonValue::Dict dict;
    // dict([(key, value), …]) is not understood.
    if (given.size() == 1) Spread(given[0], &dict);
    Spread(PythonValue(arguments.named), &dict);
    const auto size = static_cast<std::int64_t>(dict.size()) + 1;
    return Limited(PythonValue(std::move(dict)), size, begin);
  }
  if (name == "deepcopy" && given.size() == 1) {
    if (auto copy = Copy(given[0], 0)) return *copy;
  }
  if (arguments.certain && arguments.named.empty()) {
    if (auto result = Convert(name, arguments)) return *std::move(result);
  }
  return OpaqueSince(begin);
}

std::optional<PythonValue> PythonExpression::Convert(std::string_view function,
                                                     const Arguments& arguments) {
  const PythonValue::List& given = arguments.positional;
  if (given.empty()) {
    if (function == "list" || function == "tuple") {
      return PythonValue(PythonValue::List(), function == "tuple");
    }
    return std::nullopt;
  }
  const PythonValue& first = given[0];
  const PythonValue::List* list = first.list();
  if (function == "min" || function == "max" || function == "sum") {
    const PythonValue::List& items = given.size() == 1 && list != nullptr ? *list : given;
    if (items.empty() || !budget_.Take(static_cast<std::int64_t>(items.size()))) {
      return std::nullopt;
    }
    PythonValue result = items[0];
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (!AsReal(items[i])) return std::nullopt;
      const bool less = *AsReal(items[i]) < *AsReal(result);
      const bool greater = *AsReal(items[i]) > *AsReal(result);
      if (i > 0 && function == "sum") result = Operate("+", result, items[i]);
      if ((function == "min" && less) || (function == "max" && greater)) result = items[i];
      if (!AsReal(result)) return std::nullopt;
    }
    return result;
  }
  if (given.size() != 1) return std::nullopt;
  if (function == "list" || function == "tuple") {
    if (list == nullptr || !budget_.Take(static_cast<std::int64_t>(list->size()))) {
      return std::nullopt;
    }
    return PythonValue(*list, function == "tuple");
  }
  if (function == "len") {
    if (list != nullptr) return PythonValue(static_cast<std::int64_t>(list->size()));
    if (const PythonValue::Dict* dict = first.dict();
        dict != nullptr && dict->rest.is_none() &&
        budget_.Take(static_cast<std::int64_t>(dict->size()))) {
      PythonNames keys;  // of equal ones the last counts
      for (const auto& [key, item] : *dict) keys[key];
      return PythonValue(static_cast<std::int64_t>(keys.size()));
    }
    return std::nullopt;
  }
  if (function == "bool") {
    const std::optional<bool> truth = Truth(first);
    return truth ? std::optional(PythonValue(*truth)) : std::nullopt;
  }
  if (function == "str" && first.string() != nullptr) return first;
  const std::optional<double> real = AsReal(first);
  if (function == "float") {
    if (real) return PythonValue(*real);
    if (first.string() == nullptr || first.string()->empty()) return std::nullopt;
    char* end = nullptr;
    const double value = std::strtod(first.string()->c_str(), &end);
    return *end == '\0' ? std::optional(PythonValue(value)) : std::nullopt;
  }
  if (!real) return std::nullopt;
  if (function == "abs") {
    return *real < 0 ? Operate("-", PythonValue(std::int64_t{0}), first) : first;
  }
  const bool fits = std::abs(*real) < 1e15;
  if (function == "int" && AsInteger(first)) return PythonValue(*AsInteger(first));
  if (function == "int" && fits) return PythonValue(static_cast<std::int64_t>(*real));
  // Half to even, in Python as here.
  if (function == "round" && fits) return PythonValue(std::int64_t{std::llrint(*real)});
  return std::nullopt;
}

void PythonExpression::Assign(PythonValue value, const std::vector<std::string_view>& ends) {
  const std::size_t begin = at_;
  // `a, b = value` and `(a, b) = value`.
  const bool bracket = Is("(") || Is("[");
  std::size_t comma = at_;
  SkipTo([&] {
    auto all = ends;
    all.push_back(",");
    return all;
  }());
  comma = at_;
  const bool several = bracket || tokens_[comma].Is(",");
  SkipTo(ends);
  const std::size_t end = at_;
  if (several) {
    std::vector<std::string> targets;
    bool simple = true;
    for (std::size_t i = begin; i < end; ++i) {
      if (tokens_[i].kind == PythonToken::Kind::kName) targets.emplace_back(tokens_[i].text);
      simple &= tokens_[i].kind == PythonToken::Kind::kName || tokens_[i].Is(",") ||
                tokens_[i].Is("(") || tokens_[i].Is(")") || tokens_[i].Is("[") ||
                tokens_[i].Is("]");
    }
    const PythonValue::List* list = value.list();
    const bool fits = simple && list != nullptr && list->size() == targets.size();
    const PythonValue::List items = fits ? *list : PythonValue::List();
    // What is changed by these names later may be a part of it, as in `first, *others = steps`.
    if (!fits) value.BecomeOpaque(Quote(begin, end));
    for (std::size_t i = 0; i < targets.size(); ++i) {
      if (!simple) names_[targets[i]].BecomeOpaque(Quote(begin, end));
      names_[targets[i]] = fits ? items[i] : PythonValue::Opaque(Quote(begin, end));
    }
    return;
  }
  if (tokens_[begin].kind != PythonToken::Kind::kName) return;
  const std::string name(tokens_[begin].text);
  if (end == begin + 1) {
    names_[name] = std::move(value);
    return;
  }
  // The path to the container, then the last key.
  std::size_t last = begin;
  for (at_ = begin + 1; at_ < end;) {
    last = at_;
    if (Is(".")) {
      Advance(2);
    } else if (Accept("[")) {
      SkipTo({"]"});
      Advance();
    } else {
      break;
    }
  }
  const bool path = at_ == end && last > begin;
  PythonValue root = names_.count(name) > 0 ? names_[name] : PythonValue();
  const auto give_up = [&] {
    root.BecomeOpaque(Quote(begin, end) + " is assigned");
    names_[name] = root;
    at_ = end;
  };
  if (!path) return give_up();
  std::vector<PythonToken> target(tokens_.begin() + static_cast<std::ptrdiff_t>(begin),
                                  tokens_.begin() + static_cast<std::ptrdiff_t>(last));
  target.push_back(
      {PythonToken::Kind::kEndOfLine, tokens_[last].text.substr(0, 0), tokens_[last].line, {}});
  PythonExpression path_to(target, &names_, &budget_);
  PythonValue container = path_to.Evaluate();
  at_ = last + 1;
  const PythonValue key =
      tokens_[last].Is(".") ? PythonValue(std::string(token().text)) : Evaluate({"]"});
  if (container.opaque() != nullptr) {
    // What is opaque stays so; but the path may lead into something known.
    if (root.opaque() == nullptr) give_up();
    at_ = end;
    return;
  }
  if (container.identity() == nullptr || --budget_.changes < 0 ||
      Holds(value, container.identity(), 0)) {
    return give_up();
  }
  Store(container, key, std::move(value));
  at_ = end;
}

void PythonExpression::Store(PythonValue target, const PythonValue& key, PythonValue value) {
  if (PythonValue::Dict* dict = target.shared_dict(); dict != nullptr && key.string() != nullptr) {
    return dict->Set(*key.string(), std::move(value));
  }
  const auto index = AsInteger(key);
  if (PythonValue::List* list = target.shared_list(); list != nullptr && index) {
    const auto size = static_cast<std::int64_t>(list->size());
    const std::int64_t i = *index < 0 ? *index + size : *index;
    if (i >= 0 && i < size) {
      (*list)[i] = std::move(value);
      return;
    }
  }
  target.BecomeOpaque(Quote(at_ - 1, at_) + " is assigned in it");
}

}  // namespace detector
