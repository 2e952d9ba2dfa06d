// What stands left of "=" in a statement.
#include <string>
#include <utility>

#include "detector_service/config/python_expression.h"
#include "detector_service/config/python_operators.h"

namespace detector {

void PythonExpression::Assign(PythonValue value, const std::vector<std::string_view>& ends) {
  const std::size_t begin = at_;
  // `a, b = value` and `(a, b) = value`.
  const bool bracket = Is("(") || Is("[");
  std::vector<std::string_view> ends_or_comma = ends;
  ends_or_comma.push_back(",");
  SkipTo(ends_or_comma);
  const bool several = bracket || Is(",");
  SkipTo(ends);
  const std::size_t end = at_;
  if (several) return AssignSeveral(std::move(value), begin, end);
  if (tokens_[begin].kind != PythonToken::Kind::kName) return;
  if (end == begin + 1) {
    names_[std::string(tokens_[begin].text)] = std::move(value);
    return;
  }
  AssignItem(std::move(value), begin, end);
  at_ = end;
}

void PythonExpression::AssignSeveral(PythonValue value, std::size_t begin, std::size_t end) {
  std::vector<std::string> targets;
  bool simple = true;
  for (std::size_t i = begin; i < end; ++i) {
    if (tokens_[i].kind == PythonToken::Kind::kName) targets.emplace_back(tokens_[i].text);
    simple &= tokens_[i].kind == PythonToken::Kind::kName || tokens_[i].Is(",") ||
              tokens_[i].Is("(") || tokens_[i].Is(")") || tokens_[i].Is("[") || tokens_[i].Is("]");
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
}

std::optional<std::size_t> PythonExpression::FindLastKey(std::size_t begin, std::size_t end) {
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
  return at_ == end && last > begin ? std::optional(last) : std::nullopt;
}

void PythonExpression::AssignItem(PythonValue value, std::size_t begin, std::size_t end) {
  const std::string name(tokens_[begin].text);
  PythonValue root = names_.count(name) > 0 ? names_[name] : PythonValue();
  const auto give_up = [&] {
    root.BecomeOpaque(Quote(begin, end) + " is assigned");
    names_[name] = root;
  };
  // The path to the container, then the last key.
  const std::optional<std::size_t> last = FindLastKey(begin, end);
  if (!last) return give_up();
  std::vector<PythonToken> target(tokens_.begin() + static_cast<std::ptrdiff_t>(begin),
                                  tokens_.begin() + static_cast<std::ptrdiff_t>(*last));
  target.push_back(
      {PythonToken::Kind::kEndOfLine, tokens_[*last].text.substr(0, 0), tokens_[*last].line, {}});
  PythonExpression path_to(target, &names_, &budget_);
  const PythonValue container = path_to.Evaluate();
  at_ = *last + 1;
  const PythonValue key =
      tokens_[*last].Is(".") ? PythonValue(std::string(token().text)) : Evaluate({"]"});
  if (container.opaque() != nullptr) {
    // What is opaque stays so; but the path may lead into something known.
    if (root.opaque() == nullptr) give_up();
    return;
  }
  if (container.identity() == nullptr || --budget_.changes < 0 ||
      Holds(value, container.identity(), 0)) {
    return give_up();
  }
  Store(container, key, std::move(value));
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
