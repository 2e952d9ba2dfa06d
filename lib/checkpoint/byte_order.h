// Reads and writes little-endian numbers at any alignment.
#ifndef DUET_CHECKPOINT_BYTE_ORDER_H_
#define DUET_CHECKPOINT_BYTE_ORDER_H_

#include <bit>
#include <cstring>
#include <string>
#include <type_traits>

namespace checkpoint {

static_assert(std::endian::native == std::endian::little,
              "tensors are used in place, as the file stores them");

template <typename T>
T LoadLittleEndian(const char* bytes) {
  static_assert(std::is_arithmetic_v<T>);
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <typename T>
void AppendLittleEndian(std::string& out, T value) {
  static_assert(std::is_arithmetic_v<T>);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_BYTE_ORDER_H_
