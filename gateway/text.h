// Debian builds Abseil with a string_view of its own, which its functions take instead of std's.
#ifndef DUET_GATEWAY_TEXT_H_
#define DUET_GATEWAY_TEXT_H_

#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

#include <string>
#include <string_view>

namespace gateway {

// For Abseil's functions; and back.
inline absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view StdView(absl::string_view text) { return {text.data(), text.size()}; }

namespace internal {
template <typename Part>
const Part& ForStrCat(const Part& part) {
  return part;
}
inline absl::string_view ForStrCat(const std::string_view& part) { return View(part); }
}  // namespace internal

// absl::StrCat and absl::StrAppend for parts that may be std::string_view.
template <typename... Parts>
std::string StrCat(const Parts&... parts) {
  return absl::StrCat(internal::ForStrCat(parts)...);
}
template <typename... Parts>
void StrAppend(std::string* text, const Parts&... parts) {
  absl::StrAppend(text, internal::ForStrCat(parts)...);
}

}  // namespace gateway

#endif  // DUET_GATEWAY_TEXT_H_
