// Reads the Python that mmengine writes into checkpoints (meta['cfg']) and keeps in config files: a
// row of assignments of literals. Nothing is executed and nothing is looked up outside of the text.
//
//   model = dict(test_cfg=dict(nms=dict(iou_threshold=0.65), nms_pre=30000), type='RTMDet')
//
// Understood: None, True, False, numbers, strings (adjacent ones are joined), lists, tuples, {…},
// dict(…), a leading minus, and names assigned earlier in the text. Everything else (calls,
// arithmetic, imports) makes that one assignment unreadable, not the text.
#ifndef DUET_DETECTOR_SERVICE_CONFIG_PYTHON_LITERAL_H_
#define DUET_DETECTOR_SERVICE_CONFIG_PYTHON_LITERAL_H_

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace detector {

class PythonValue {
 public:
  using List = std::vector<PythonValue>;  // of a list or a tuple
  // In the text's order; keys that are not strings are left out.
  using Dict = std::vector<std::pair<std::string, PythonValue>>;

  PythonValue() = default;  // None
  template <typename T>
  explicit PythonValue(T value) : value_(std::move(value)) {}

  bool is_none() const { return std::holds_alternative<std::monostate>(value_); }
  // Null if the value is of another type.
  const bool* boolean() const { return std::get_if<bool>(&value_); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&value_); }
  const std::string* string() const { return std::get_if<std::string>(&value_); }
  const List* list() const { return std::get_if<List>(&value_); }
  const Dict* dict() const { return std::get_if<Dict>(&value_); }
  Dict* dict() { return std::get_if<Dict>(&value_); }
  // Of an integer or a float; false if it is neither.
  bool number(double* out) const;

  // The value of a dict's key, or null (also if this is no dict).
  const PythonValue* Find(std::string_view key) const;
  // Find(a), in it Find(b), and so on.
  const PythonValue* Find(std::initializer_list<std::string_view> path) const;

 private:
  friend std::string Canonical(const PythonValue& value);
  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Dict> value_;
};

// A text of the value, the same whatever the order of keys, the layout and the comments it was read
// from; of other values, another one.
std::string Canonical(const PythonValue& value);

struct PythonConfig {
  PythonValue values;  // a dict: one key per assigned name, the last assignment wins
  // Assignments that could not be read: name → "line 12: …".
  std::map<std::string, std::string> unreadable;
};

// Never fails: what it does not understand is listed. Nesting is limited (64), so that a hostile
// text cannot exhaust the stack.
PythonConfig ParsePythonConfig(std::string_view text);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_PYTHON_LITERAL_H_
