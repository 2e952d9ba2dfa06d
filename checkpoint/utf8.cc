#include "checkpoint/utf8.h"

#include <cstddef>
#include <cstdint>

namespace checkpoint {

bool IsUtf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = lead < 0xc2   ? 0
                               : lead < 0xe0 ? 2
                               : lead < 0xf0 ? 3
                               : lead < 0xf5 ? 4
                                             : 0;
    if (length == 0 || text.size() - i < length) return false;
    std::uint32_t code_point = lead & (0x7fu >> length);
    for (std::size_t j = 1; j < length; ++j) {
      const auto byte = static_cast<std::uint8_t>(text[i + j]);
      if ((byte & 0xc0) != 0x80) return false;
      code_point = code_point << 6 | (byte & 0x3fu);
    }
    if (length == 3 && (code_point < 0x800 || (code_point >= 0xd800 && code_point < 0xe000))) {
      return false;
    }
    if (length == 4 && (code_point < 0x10000 || code_point > 0x10ffff)) return false;
    i += length;
  }
  return true;
}

}  // namespace checkpoint
