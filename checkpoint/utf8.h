// Names from a file end in protobuf strings, logs and JSON, all of which demand UTF-8.
#ifndef DUET_CHECKPOINT_UTF8_H_
#define DUET_CHECKPOINT_UTF8_H_

#include <string_view>

namespace checkpoint {

// Shortest forms only, no surrogates, up to U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_UTF8_H_
