// Builds pickles from their opcodes, honest and hostile ones: each function returns the opcodes
// that leave one value on the stack.
#ifndef DUET_TESTS_TESTING_PICKLES_H_
#define DUET_TESTS_TESTING_PICKLES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/byte_order.h"

namespace checkpoint::testing {

inline std::string Str(std::string_view text) {
  std::string out = "X";
  AppendLittleEndian(out, static_cast<std::uint32_t>(text.size()));
  return out.append(text);
}

inline std::string Int(std::int64_t value) {
  std::string out = "\x8a\x08";
  AppendLittleEndian(out, value);
  return out;
}

inline std::string None() { return "N"; }

inline std::string Join(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += part;
  return out;
}

inline std::string Tuple(const std::vector<std::string>& items) { return "(" + Join(items) + "t"; }
inline std::string List(const std::vector<std::string>& items) { return "](" + Join(items) + "e"; }

// Keys and values in turn.
inline std::string Dict(const std::vector<std::string>& items) { return "}(" + Join(items) + "u"; }

inline std::string Ints(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(Int(value));
  return Tuple(items);
}

inline std::string Global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

inline std::string Call(const std::string& function, const std::vector<std::string>& arguments) {
  return function + Tuple(arguments) + "R";
}

inline std::string OrderedDict(const std::vector<std::string>& items) {
  return Call(Global("collections", "OrderedDict"), {}) + "(" + Join(items) + "u";
}

inline std::string Program(const std::string& value) { return "\x80\x02" + value + "."; }

// ---- Tensors in a pickle.

// `view` is the sixth element of a legacy file's reference; leave it out for the zip format.
inline std::string Storage(const std::string& key, std::int64_t numel,
                           const std::string& type = "FloatStorage", const std::string& view = "") {
  std::vector<std::string> id = {Str("storage"), Global("torch", type), Str(key), Str("cpu"),
                                 Int(numel)};
  if (!view.empty()) id.push_back(view);
  return Tuple(id) + "Q";
}

inline std::string Tensor(const std::string& storage, std::int64_t offset,
                          const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& strides) {
  return Call(Global("torch._utils", "_rebuild_tensor_v2"),
              {storage, Int(offset), Ints(shape), Ints(strides), "\x89", OrderedDict({})});
}

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  std::string out;
  for (const T value : values) AppendLittleEndian(out, value);
  return out;
}

}  // namespace checkpoint::testing

#endif  // DUET_TESTS_TESTING_PICKLES_H_
