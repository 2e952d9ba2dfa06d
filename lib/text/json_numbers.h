// Numbers in JSON that people read.
#ifndef DUET_TEXT_JSON_NUMBERS_H_
#define DUET_TEXT_JSON_NUMBERS_H_

#include <string>
#include <string_view>

namespace text {

// JSON text with its numbers as people write them: 0.5 for 5E-1, as Boost.JSON has it, and 3 for
// 3E0. They stand for the same doubles. Very small and very large ones keep their exponents.
// REQUIRES: `json` is JSON.
std::string WithPlainNumbers(std::string_view json);

}  // namespace text

#endif  // DUET_TEXT_JSON_NUMBERS_H_
