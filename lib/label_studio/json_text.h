// Appends values to JSON text, without a document in between: a brush region has tens of thousands
// of numbers.
#ifndef DUET_LABEL_STUDIO_JSON_TEXT_H_
#define DUET_LABEL_STUDIO_JSON_TEXT_H_

#include <absl/types/span.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace label_studio {

// Quoted and escaped; bytes that are not UTF-8 become U+FFFD.
void AppendJsonString(std::string_view text, std::string* json);

// At most six decimals. REQUIRES: `value` is finite.
void AppendJsonNumber(double value, std::string* json);

// [0,4,176]
void AppendJsonBytes(absl::Span<const std::uint8_t> bytes, std::string* json);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_JSON_TEXT_H_
