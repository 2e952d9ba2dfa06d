// What follows a value in an expression: calls of functions and methods, items.
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "detector_service/config/python_config.h"
#include "detector_service/config/python_expression.h"
#include "detector_service/config/python_operators.h"

namespace detector {

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
  std::optional<PythonValue> result = value.shared_dict() != nullptr
                                          ? ChangeDict(value, name, arguments)
                                          : ChangeList(value, name, given);
  return result ? *std::move(result) : give_up();
}

std::optional<PythonValue> PythonExpression::ChangeDict(PythonValue& value, const std::string& name,
                                                        const Arguments& arguments) {
  const PythonValue::List& given = arguments.positional;
  PythonValue::Dict* const dict = value.shared_dict();
  if (name == "update" && given.size() <= 1) {
    PythonValue::Dict added;
    if (given.size() == 1 && !Spread(given[0], &added)) return std::nullopt;
    if (!Spread(PythonValue(arguments.named), &added)) return std::nullopt;
    if (!budget_.Take(static_cast<std::int64_t>(added.size() * dict->size()))) return std::nullopt;
    for (const auto& [key, item] : added) {
      const PythonValue* known = value.Find(key);
      const bool both = known != nullptr && known->dict() != nullptr && item.dict() != nullptr;
      // A dict of _base_ merges, one of this text doesn't, and nothing tells them apart here.
      dict->Set(key, !both ? item
                     : budget_.dicts_merge
                         ? Merge(item, *known)
                         : PythonValue::Opaque(Quote(at_ - 1, at_) + " updates a dict in a dict"));
    }
    return PythonValue();
  }
  if (name == "pop" && !given.empty() && given[0].string() != nullptr && dict->rest.is_none()) {
    const PythonValue* found = value.Find(*given[0].string());
    PythonValue popped = found != nullptr ? *found : given.size() > 1 ? given[1] : PythonValue();
    std::erase_if(dict->items, [&](const auto& item) { return item.first == *given[0].string(); });
    return popped;
  }
  return std::nullopt;
}

std::optional<PythonValue> PythonExpression::ChangeList(PythonValue& value, const std::string& name,
                                                        const PythonValue::List& given) {
  PythonValue::List* const list = value.shared_list();
  if (list == nullptr || given.size() > 2) return std::nullopt;
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
    if (i < 0 || i >= size) return std::nullopt;
    PythonValue popped = (*list)[i];
    list->erase(list->begin() + i);
    return popped;
  }
  return std::nullopt;
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
    return Reduce(function, given.size() == 1 && list != nullptr ? *list : given);
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
  return ConvertNumber(function, first);
}

// min, max and sum.
std::optional<PythonValue> PythonExpression::Reduce(std::string_view function,
                                                    const PythonValue::List& items) {
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

// float, abs, int and round.
std::optional<PythonValue> PythonExpression::ConvertNumber(std::string_view function,
                                                           const PythonValue& first) {
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

}  // namespace detector
