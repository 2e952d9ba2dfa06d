// A value of a Python text: what the detector understands of a config.
#ifndef DUET_DETECTOR_SERVICE_CONFIG_PYTHON_VALUE_H_
#define DUET_DETECTOR_SERVICE_CONFIG_PYTHON_VALUE_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace detector {

// None, a boolean, a number, a string, a list or tuple, a dict, or opaque: there is a value, but
// what it is would take Python to say. Who needs an opaque value reports it (config_reader.h); who
// doesn't never notices.
//
// Lists and dicts are shared by copies, as in Python. After parsing nobody changes them.
class PythonValue {
 public:
  using List = std::vector<PythonValue>;
  struct Dict;

  PythonValue() = default;  // None
  explicit PythonValue(bool value) : value_(value) {}
  explicit PythonValue(std::int64_t value) : value_(value) {}
  explicit PythonValue(double value) : value_(value) {}
  explicit PythonValue(std::string value)
      : value_(std::make_shared<const std::string>(std::move(value))) {}
  explicit PythonValue(List items, bool is_tuple = false);
  explicit PythonValue(Dict dict);
  // `what`: the place and the text, "line 12: 'build(x)'". `symbol`: the dotted name of what was
  // imported, "mmdet.models.RTMDet"; may be empty.
  static PythonValue Opaque(std::string what, std::string symbol = "");

  bool is_none() const { return std::holds_alternative<std::monostate>(value_); }
  // Null if the value is of another type.
  const bool* boolean() const { return std::get_if<bool>(&value_); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&value_); }
  const double* real() const { return std::get_if<double>(&value_); }
  const std::string* string() const;
  const List* list() const;
  const Dict* dict() const;
  // Why it is opaque; null if it isn't.
  const std::string* opaque() const;
  // Of an opaque value that was imported; else null.
  const std::string* symbol() const;
  bool is_tuple() const;
  // Of an integer or a float; false if it is neither.
  bool number(double* out) const;

  // The value of a dict's key, or null (also if this is no dict). Opaque if this is opaque, or a
  // dict with opaque parts (`**build()`) that may hold the key.
  const PythonValue* Find(std::string_view key) const;
  // Find(a), in it Find(b), and so on.
  const PythonValue* Find(std::initializer_list<std::string_view> path) const;

  // For the parser. The container that copies share; null if there is none.
  List* shared_list();
  Dict* shared_dict();
  // Makes the container opaque, for all that share it; else this value alone.
  void BecomeOpaque(const std::string& what);
  // Identifies the container, null if there is none.
  const void* identity() const;
  // How deep containers are nested in it when it was made; 0 without any.
  int height() const;

 private:
  struct OpaqueText {
    std::string what;
    std::string symbol;
  };
  struct ListNode;
  struct DictNode;
  std::variant<std::monostate, bool, std::int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<ListNode>, std::shared_ptr<DictNode>,
               std::shared_ptr<const OpaqueText>>
      value_;
};

// In the text's order; of equal keys the last counts. Keys that are not strings are left out.
struct PythonValue::Dict {
  using Item = std::pair<std::string, PythonValue>;
  std::vector<Item> items;
  // Opaque if the dict may hold more keys than these; else None.
  PythonValue rest;

  auto begin() const { return items.begin(); }
  auto end() const { return items.end(); }
  bool empty() const { return items.empty(); }
  std::size_t size() const { return items.size(); }
  // Replaces the value of `key`, or adds it.
  void Set(const std::string& key, PythonValue value);
};

// A text of the value, the same whatever the order of keys, the layout and the comments it was read
// from; of other values, another one. Opaque values have the text that they were read from.
std::string Canonical(const PythonValue& value);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_CONFIG_PYTHON_VALUE_H_
