// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
//
// JSON, Protobuf, gRPC and Prometheus carry UTF-8 only, and their readers drop a whole message for
// one wrong byte. File names, URLs and messages of libraries are bytes; whoever writes such text
// into one of these formats makes it valid there.
#ifndef DUET_TEXT_UTF8_H_
#define DUET_TEXT_UTF8_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace text {

// Length in bytes of the character at the start of `text`; 0 if `text` is empty or doesn't start
// with a well-formed one.
std::size_t Utf8Length(std::string_view text);

bool IsUtf8(std::string_view text);

// `text` with U+FFFD for each byte that is not part of a character.
std::string ToUtf8(std::string_view text);

// The first characters of `text`, at most `max_bytes` bytes: never half a character.
std::string_view Utf8Prefix(std::string_view text, std::size_t max_bytes);

}  // namespace text

#endif  // DUET_TEXT_UTF8_H_
