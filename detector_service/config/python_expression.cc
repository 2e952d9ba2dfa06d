#include "detector_service/config/python_expression.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "detector_service/config/python_operators.h"

namespace detector {
namespace {

constexpr int kMaxQuoted = 48;  // characters of a text in a message

constexpr std::string_view kBinary[][5] = {{"|"},        {"^"},      {"&"},
                                           {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%", "@"}};
constexpr int kBinaryLevels = static_cast<int>(std::size(kBinary));

struct Deeper {
  explicit Deeper(int* depth) : depth(*depth) { ++this->depth; }
  ~Deeper() { --depth; }
  int& depth;
};

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

}  // namespace detector
