#include "detector_service/config/python_config.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "detector_service/config/python_expression.h"
#include "detector_service/config/python_tokens.h"

namespace detector {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxText = 4 << 20;       // bytes; official texts have some 20 KB
constexpr std::int64_t kMaxValues = 1'000'000;  // of a text, each counted wherever it is used

using Kind = PythonToken::Kind;

bool IsOneOf(const PythonToken& token, std::initializer_list<std::string_view> names) {
  return token.kind == Kind::kName &&
         std::find(names.begin(), names.end(), token.text) != names.end();
}

constexpr std::string_view kAugmented[] = {
    "+=", "-=", "*=", "/=", "//=", "%=", "**=", "|=", "&=", "^=", "@=", ">>=", "<<="};

// The values in `value`, each counted as often as it is used, texts by their length; absent if
// there are too many, or if they are nested too deeply. `known` remembers containers.
std::optional<std::int64_t> CountValues(const PythonValue& value,
                                        std::map<const void*, std::int64_t>* known, int depth) {
  if (depth > kMaxDepth) return std::nullopt;
  if (value.string() != nullptr) return 1 + static_cast<std::int64_t>(value.string()->size() / 16);
  if (value.identity() == nullptr) return 1;
  if (const auto found = known->find(value.identity()); found != known->end()) {
    return found->second;
  }
  std::int64_t count = 1;
  const auto add = [&](const PythonValue& item) {
    const auto more = CountValues(item, known, depth + 1);
    if (more) count += *more;
    return more && count <= kMaxValues;
  };
  if (const PythonValue::List* list = value.list()) {
    if (!std::all_of(list->begin(), list->end(), add)) return std::nullopt;
  } else if (const PythonValue::Dict* dict = value.dict()) {
    if (!std::all_of(dict->begin(), dict->end(),
                     [&](const auto& item) { return add(item.second); }))
      return std::nullopt;
  }
  (*known)[value.identity()] = count;
  return count;
}

class Statements {
 public:
  Statements(PythonLines text, const PythonScope& scope)
      : text_(std::move(text)), scope_(scope), lines_(text_.lines) {
    if (!scope.base.is_none()) names_["_base_"] = scope.base;
    budget_.dicts_merge = std::any_of(lines_.begin(), lines_.end(), [](const PythonLine& line) {
      return line.tokens[0].IsName("with") && line.tokens[1].IsName("read_base");
    });
  }

  PythonConfig Run() {
    for (std::size_t i = 0; i < lines_.size();) {
      const std::size_t end = EndOfBlock(i);
      if (end > i + 1 || IsCompound(lines_[i].tokens)) {
        Block(i, end);
      } else {
        Simple(lines_[i].tokens);
      }
      i = end;
    }
    if (!text_.broken.empty()) Unknown(text_.broken);
    return Result();
  }

 private:
  static bool IsCompound(const std::vector<PythonToken>& tokens) {
    return tokens[0].Is("@") ||
           IsOneOf(tokens[0], {"if", "elif", "else", "for", "while", "try", "except", "finally",
                               "with", "def", "class", "async"});
  }

  // Behind the indented lines that follow line `i`.
  std::size_t EndOfBlock(std::size_t i) const {
    std::size_t end = i + 1;
    while (end < lines_.size() && lines_[end].indented) ++end;
    return end;
  }

  // From here on any name may have any value.
  void Unknown(const std::string& why) {
    if (rest_.is_none()) rest_ = PythonValue::Opaque(why);
    certain_.clear();
    unknown_ = true;
  }

  void Bind(std::string_view name, PythonValue value) {
    // The bases were read before; the statement that names them has no effect of its own.
    if (name == "_base_" && !scope_.base.is_none()) return;
    names_[std::string(name)] = std::move(value);
    certain_.emplace(name);
  }

  // The list or dict that the name stands for may be changed, for all that share it, or the name
  // may stand for another value.
  void MayChange(std::string_view name, const std::string& why) {
    names_[std::string(name)].BecomeOpaque(why);
    Bind(name, PythonValue::Opaque(why));
  }

  // Whether token `t` is the name of a list or dict, which may be changed by another name, as the
  // steps of a pipeline are in `for step in pipeline:`.
  bool StandsForContainer(const std::vector<PythonToken>& tokens, std::size_t t) const {
    const auto known = names_.find(tokens[t].text);
    return known != names_.end() && known->second.identity() != nullptr &&
           !(t > 0 && tokens[t - 1].Is("."));
  }

  // An if, a loop, a definition: what it assigns is not known, nor what becomes of the lists and
  // dicts in it.
  void Block(std::size_t begin, std::size_t end) {
    const std::vector<PythonToken>& header = lines_[begin].tokens;
    if (header[0].IsName("with") && header[1].IsName("read_base")) {
      for (std::size_t i = begin + 1; i < end; ++i) ReadBase(lines_[i].tokens);
      return;
    }
    const std::string why = PythonExpression(header, &names_, &budget_).Quote(0, header.size() - 1);
    if (IsOneOf(header[0], {"def", "class"}) && header[1].kind == Kind::kName) {
      return Bind(header[1].text, PythonValue::Opaque(why));
    }
    for (std::size_t i = begin; i < end; ++i) {
      const std::vector<PythonToken>& tokens = lines_[i].tokens;
      for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
        const bool is_first = t == 0 || tokens[t - 1].Is(":");
        const bool bound = t > 0 && IsOneOf(tokens[t - 1], {"for", "as", "import"});
        const bool assigned =
            tokens[t + 1].Is("=") || tokens[t + 1].Is(":=") || tokens[t + 1].Is(",");
        if (tokens[t].kind != Kind::kName || IsCompound({tokens[t]})) continue;
        if (is_first || bound || assigned || StandsForContainer(tokens, t)) {
          MayChange(tokens[t].text, why);
        }
      }
    }
  }

  void Simple(const std::vector<PythonToken>& tokens) {
    if (IsOneOf(tokens[0], {"import", "from"})) return Import(tokens);
    if (IsOneOf(tokens[0], {"pass", "assert", "raise", "global", "nonlocal", "return"})) return;
    if (tokens[0].IsName("del")) return Delete(tokens);
    PythonExpression expression(tokens, &names_, &budget_);
    // a: int = 1
    if (tokens[0].kind == Kind::kName && tokens[1].Is(":")) {
      expression.SkipTo({"="});
      if (expression.token().Is("=")) return AssignAll(tokens, {expression.position()}, true);
      return;
    }
    std::vector<std::size_t> equals;
    for (expression.SkipTo({"="}); expression.token().Is("="); expression.SkipTo({"="})) {
      equals.push_back(expression.position());
      expression.MoveTo(expression.position() + 1);
    }
    if (!equals.empty()) return AssignAll(tokens, equals, false);
    expression.MoveTo(0);
    expression.SkipTo({std::begin(kAugmented), std::end(kAugmented)});
    if (expression.token().kind == Kind::kOperator) {
      return Augment(tokens, expression.position());
    }
    expression.MoveTo(0);
    Call(tokens, expression.Evaluate());
  }

  // target = target = value. With `annotated`, the target is the first token alone.
  void AssignAll(const std::vector<PythonToken>& tokens, const std::vector<std::size_t>& equals,
                 bool annotated) {
    std::size_t begin = 0;
    PythonExpression expression(tokens, &names_, &budget_);
    expression.MoveTo(equals.back() + 1);
    PythonValue value = expression.Evaluate();
    if (expression.token().kind != Kind::kEndOfLine) {
      value = PythonValue::Opaque(expression.Quote(equals.back() + 1, tokens.size() - 1));
    }
    if (annotated) return Bind(tokens[0].text, std::move(value));
    for (std::size_t equal : equals) {
      if (equal == begin + 1 && tokens[begin].kind == Kind::kName) {
        Bind(tokens[begin].text, value);
      } else {
        expression.MoveTo(begin);
        expression.Assign(value, {"="});
        for (std::size_t t = begin; t < equal; ++t) {  // of `a, b = value`
          const bool whole = tokens[t + 1].Is(",") || (t > begin && tokens[t - 1].Is(","));
          if (whole && tokens[t].kind == Kind::kName) certain_.emplace(tokens[t].text);
        }
      }
      begin = equal + 1;
    }
  }

  // target op= value.
  void Augment(const std::vector<PythonToken>& tokens, std::size_t op_at) {
    PythonExpression expression(tokens, &names_, &budget_);
    const std::string_view op = tokens[op_at].text;
    const PythonValue left = expression.Evaluate({op});
    expression.MoveTo(op_at + 1);
    const PythonValue right = expression.Evaluate();
    // A list grows in place, for all that share it.
    if (op == "+=" && left.list() != nullptr && !left.is_tuple()) {
      PythonValue grown = expression.Operate("+", left, right);
      if (grown.list() != nullptr && --budget_.changes >= 0) {
        *PythonValue(left).shared_list() = *grown.list();
      } else {
        PythonValue(left).BecomeOpaque(expression.Quote(0, tokens.size() - 1));
      }
      return;
    }
    PythonValue value = expression.Operate(op.substr(0, op.size() - 1), left, right);
    expression.MoveTo(0);
    expression.Assign(std::move(value), {op});
  }

  // A statement that is an expression. A function that isn't known may change what it is given, and
  // a comprehension what it goes over.
  void Call(const std::vector<PythonToken>& tokens, const PythonValue& result) {
    if (result.opaque() == nullptr || tokens[0].IsName("print")) return;
    for (const PythonToken& token : tokens) {
      const auto known = names_.find(token.text);
      if (token.kind == Kind::kName && known != names_.end()) {
        MayChange(token.text, *result.opaque());
      }
    }
  }

  void Delete(const std::vector<PythonToken>& tokens) {
    for (std::size_t t = 1; t + 1 < tokens.size(); ++t) {
      const bool whole = tokens[t + 1].Is(",") || tokens[t + 1].kind == Kind::kEndOfLine;
      if (tokens[t].kind != Kind::kName || !(t == 1 || tokens[t - 1].Is(","))) continue;
      if (whole) {
        names_.erase(std::string(tokens[t].text));
      } else {
        MayChange(tokens[t].text, PythonExpression(tokens, &names_, &budget_).Quote(0, t + 2));
      }
    }
  }

  // import a.b as c; from a import b as c, d
  void Import(const std::vector<PythonToken>& tokens) {
    const std::string why = PythonExpression(tokens, &names_, &budget_).Quote(0, tokens.size() - 1);
    std::size_t at = 1;
    const auto dotted = [&] {
      std::string name;
      while (tokens[at].Is(".") || tokens[at].Is("...") ||
             (tokens[at].kind == Kind::kName && !IsOneOf(tokens[at], {"import", "as"}))) {
        name += tokens[at++].text;
      }
      return name;
    };
    std::string module;
    if (tokens[0].IsName("from")) {
      module = dotted();
      if (!tokens[at].IsName("import")) return;
      ++at;
    }
    if (tokens[at].Is("*")) return Unknown(why);
    while (tokens[at].kind != Kind::kEndOfLine) {
      if (tokens[at].kind != Kind::kName) {
        ++at;
        continue;
      }
      const std::string name = dotted();
      if (name.empty()) return;  // no Python
      std::string bound = module.empty() ? name.substr(0, name.find('.')) : name;
      std::string symbol = module.empty() ? bound : absl::StrCat(module, ".", name);
      if (tokens[at].IsName("as") && tokens[at + 1].kind == Kind::kName) {
        bound = std::string(tokens[at + 1].text);
        symbol = module.empty() ? name : symbol;
        at += 2;
      }
      if (symbol == "copy.deepcopy") continue;  // the function that expressions know
      Bind(bound, PythonValue::Opaque(why, symbol));
    }
  }

  // A line of `with read_base():`.
  void ReadBase(const std::vector<PythonToken>& tokens) {
    const std::string why = PythonExpression(tokens, &names_, &budget_).Quote(0, tokens.size() - 1);
    std::string module;
    std::size_t at = 1;
    while (tokens[at].kind != Kind::kEndOfLine && !tokens[at].IsName("import")) {
      module += tokens[at++].text;
    }
    const auto found = std::find_if(scope_.modules.begin(), scope_.modules.end(),
                                    [&](const auto& entry) { return entry.first == module; });
    if (found == scope_.modules.end() || found->second.dict() == nullptr) return Unknown(why);
    if (tokens[at].kind == Kind::kEndOfLine) return;
    if (tokens[at + 1].Is("*")) {
      for (const auto& [name, value] : *found->second.dict()) Bind(name, value);
      if (!found->second.dict()->rest.is_none()) Unknown(why);
      return;
    }
    for (++at; tokens[at].kind != Kind::kEndOfLine; ++at) {
      if (tokens[at].kind != Kind::kName) continue;
      const PythonValue* value = found->second.Find(tokens[at].text);
      if (tokens[at + 1].IsName("as") && tokens[at + 2].kind == Kind::kName) at += 2;
      Bind(tokens[at].text, value != nullptr ? *value : PythonValue::Opaque(why));
    }
  }

  PythonConfig Result() {
    PythonValue::Dict values;
    values.rest = rest_;
    std::map<const void*, std::int64_t> known;
    std::int64_t left = kMaxValues;
    for (const auto& [name, value] : names_) {
      if (name.starts_with("__") || (name == "_base_" && !scope_.base.is_none())) continue;
      const bool hidden = unknown_ && name != "_base_" && certain_.count(name) == 0;
      const auto count = CountValues(value, &known, 0);
      if (count) left -= *count;
      const bool fits = count && left >= 0;
      values.items.emplace_back(
          name, hidden ? rest_
                : fits ? value
                       : PythonValue::Opaque(absl::StrCat("the value of '", name, "', too large")));
    }
    PythonValue all(std::move(values));
    const PythonValue* base = all.Find("_base_");
    const bool needs_base = scope_.base.is_none() && base != nullptr && !base->is_none() &&
                            !(base->list() != nullptr && base->list()->empty());
    if (needs_base) {
      all = Merge(all, PythonValue::Opaque("a file of _base_, which isn't here"));
    }
    return {std::move(all)};
  }

  PythonLines text_;
  const PythonScope& scope_;
  const std::vector<PythonLine>& lines_;
  PythonNames names_;
  PythonBudget budget_;
  PythonValue rest_;
  bool unknown_ = false;
  // Names that were assigned since the last `import *`, which may have replaced all others.
  std::set<std::string> certain_;
};

}  // namespace

PythonConfig ParsePythonConfig(std::string_view text, const PythonScope& scope) {
  if (text.size() > kMaxText) {  // a token takes many times its bytes
    return Statements({.lines = {}, .broken = "a text that is larger than a config can be"}, scope)
        .Run();
  }
  return Statements(SplitPython(text), scope).Run();
}

PythonBases FindBases(std::string_view text) {
  PythonBases bases;
  const PythonLines split = SplitPython(text);
  for (std::size_t i = 0; i < split.lines.size(); ++i) {
    const std::vector<PythonToken>& header = split.lines[i].tokens;
    if (header[0].IsName("_base_") && header[1].Is("=") && bases.files.is_none()) {
      PythonNames none;
      PythonBudget budget;
      PythonExpression expression(header, &none, &budget);
      expression.MoveTo(2);
      bases.files = expression.Evaluate();
    }
    if (!header[0].IsName("with") || !header[1].IsName("read_base")) continue;
    while (i + 1 < split.lines.size() && split.lines[i + 1].indented) {
      const std::vector<PythonToken>& tokens = split.lines[++i].tokens;
      if (!tokens[0].IsName("from")) continue;
      std::string module;
      for (std::size_t t = 1; t + 1 < tokens.size() && !tokens[t].IsName("import"); ++t) {
        module += tokens[t].text;
      }
      bases.modules.push_back(std::move(module));
    }
  }
  return bases;
}

PythonValue Unshared(const PythonValue& value) {
  if (const PythonValue::List* list = value.list()) {
    PythonValue::List items;
    for (const PythonValue& item : *list) items.push_back(Unshared(item));
    return PythonValue(std::move(items), value.is_tuple());
  }
  if (const PythonValue::Dict* dict = value.dict()) {
    PythonValue::Dict items;
    items.rest = dict->rest;
    for (const auto& [key, item] : *dict) items.items.emplace_back(key, Unshared(item));
    return PythonValue(std::move(items));
  }
  return value;
}

PythonValue Merge(const PythonValue& upper, const PythonValue& lower) {
  const PythonValue::Dict* over = upper.dict();
  if (over == nullptr) return upper;
  PythonValue::Dict merged;
  const PythonValue* flag = upper.Find("_delete_");
  const bool replaces = flag != nullptr && flag->boolean() != nullptr && *flag->boolean();
  if (!replaces) {
    if (const PythonValue::Dict* under = lower.dict()) {
      merged = *under;
    } else if (lower.opaque() != nullptr) {
      merged.rest = lower;
    }
  }
  if (!over->rest.is_none()) {  // it may replace any key
    merged.items.clear();
    merged.rest = over->rest;
  }
  std::map<std::string_view, const PythonValue*> below;
  for (const auto& [key, value] : merged) below[key] = &value;
  std::map<std::string, PythonValue> result;
  for (const auto& [key, value] : *over) {
    if (key == "_delete_") continue;
    const auto found = below.find(key);
    if (found != below.end()) {
      result[key] = Merge(value, *found->second);
    } else {
      result[key] = merged.rest.is_none() ? Merge(value, PythonValue()) : Merge(value, merged.rest);
    }
  }
  std::erase_if(merged.items, [&](const auto& item) { return result.count(item.first) > 0; });
  for (auto& [key, value] : result) merged.items.emplace_back(key, std::move(value));
  return PythonValue(std::move(merged));
}

}  // namespace detector
