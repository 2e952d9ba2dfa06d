// Evaluates Python expressions as far as that is cheap and certain; the rest is opaque. Nothing is
// executed: there are no functions but the few that are named here, and no modules.
//
// Evaluated: literals, names, dict(…), **x and *x, attributes and items of dicts and lists, slices,
// arithmetic on numbers, joined strings and lists, comparisons, conditions, len, list, tuple, int,
// float, str, bool, abs, min, max, round, sum, copy.copy, copy.deepcopy, and the methods of lists
// and dicts that configs use. Opaque: everything else, as f-strings, lambda, comprehensions, sets,
// and calls.
#ifndef DUET_DETECTOR_SERVICE_CONFIG_PYTHON_EXPRESSION_H_
#define DUET_DETECTOR_SERVICE_CONFIG_PYTHON_EXPRESSION_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "detector_service/config/python_tokens.h"
#include "detector_service/config/python_value.h"

namespace detector {

// What evaluating may still use up, over a whole text: a hostile one must not exhaust memory, time
// or the stack.
struct PythonBudget {
  std::int64_t work = 8'000'000;  // values and bytes that are made
  int changes = 100;              // of lists and dicts in place
  // update() merges dicts within dicts, as mmengine's dicts do in a text with `with read_base():`.
  bool dicts_merge = false;
  bool Take(std::int64_t amount) { return (work -= amount) >= 0; }
};

using PythonNames = std::map<std::string, PythonValue, std::less<>>;

// Evaluates the tokens of one line. `tokens`, `names` and `budget` must outlive it.
class PythonExpression {
 public:
  PythonExpression(const std::vector<PythonToken>& tokens, PythonNames* names,
                   PythonBudget* budget);

  // From the current token to one of `ends` outside of brackets, or to the line's end. With a comma
  // in it, it is a tuple.
  PythonValue Evaluate(const std::vector<std::string_view>& ends = {});
  // What stands left of "=": a name, an attribute, an item, or a list of these. Assigns, in place.
  // What it doesn't understand makes the name at its beginning opaque.
  void Assign(PythonValue value, const std::vector<std::string_view>& ends);
  // `left op value`, as of "+=".
  PythonValue Operate(std::string_view op, const PythonValue& left, const PythonValue& right);
  // "line 12: 'tokens'", of the tokens from `begin` to `end`.
  std::string Quote(std::size_t begin, std::size_t end) const;

  std::size_t position() const { return at_; }
  void MoveTo(std::size_t position) { at_ = position; }
  const PythonToken& token() const { return tokens_[at_]; }
  // To the next of `ends` outside of brackets.
  void SkipTo(const std::vector<std::string_view>& ends);

 private:
  static constexpr int kMaxDepth = 64;  // of nested expressions, and of values

  struct Arguments {
    PythonValue::List positional;
    PythonValue::Dict named;
    bool certain = true;  // false: *x or **x with an opaque x among them
  };

  PythonValue Element(const std::vector<std::string_view>& ends);
  PythonValue Ternary();
  PythonValue Or();
  PythonValue And();
  PythonValue Not();
  PythonValue Comparison();
  PythonValue Binary(int level);
  PythonValue Unary();
  PythonValue Power();
  PythonValue Primary();
  PythonValue Atom();
  PythonValue Strings();
  PythonValue Sequence(std::string_view close);
  PythonValue Braces();
  PythonValue BaseVariable();
  PythonValue Subscript(const PythonValue& value);
  PythonValue Method(PythonValue value, const std::string& name);
  PythonValue Function(std::string_view name, std::size_t begin);
  std::optional<PythonValue> Convert(std::string_view function, const Arguments& arguments);
  std::optional<PythonValue> Reduce(std::string_view function, const PythonValue::List& items);
  std::optional<PythonValue> ConvertNumber(std::string_view function, const PythonValue& first);
  std::optional<PythonValue> Copy(const PythonValue& value, int depth);
  Arguments ReadArguments();
  bool Spread(const PythonValue& value, PythonValue::Dict* dict);
  PythonValue Change(PythonValue value, const std::string& name, const Arguments& arguments);
  // Nothing, and no change, if it isn't understood.
  std::optional<PythonValue> ChangeDict(PythonValue& value, const std::string& name,
                                        const Arguments& arguments);
  std::optional<PythonValue> ChangeList(PythonValue& value, const std::string& name,
                                        const PythonValue::List& given);
  // Of the tokens from `begin` to `end`: names with commas between them; an attribute or item.
  void AssignSeveral(PythonValue value, std::size_t begin, std::size_t end);
  void AssignItem(PythonValue value, std::size_t begin, std::size_t end);
  // Where the last key of `a.b['c']` begins; nothing if it isn't of this form. Moves on.
  std::optional<std::size_t> FindLastKey(std::size_t begin, std::size_t end);
  void Store(PythonValue target, const PythonValue& key, PythonValue value);
  // Whether `value` holds `container` itself, so that storing it there would make a circle.
  bool Holds(const PythonValue& value, const void* container, int depth);

  // Neither goes beyond the line's end.
  const PythonToken& Ahead(std::size_t count) const;
  void Advance(std::size_t count = 1);
  bool Is(std::string_view op) const { return token().Is(op); }
  bool Accept(std::string_view op);
  bool AtOneOf(const std::vector<std::string_view>& ends) const;
  PythonValue OpaqueSince(std::size_t begin) const;
  PythonValue Limited(PythonValue value, std::int64_t size, std::size_t begin);

  const std::vector<PythonToken>& tokens_;
  PythonNames& names_;
  PythonBudget& budget_;
  std::size_t at_ = 0;
  int depth_ = 0;
  int uncertain_ = 0;  // positive: within what Python may not evaluate, as behind `and`
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_PYTHON_EXPRESSION_H_
