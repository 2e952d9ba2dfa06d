// absl::StrCat and absl::StrAppend for std::string_view. Debian builds Abseil with a string_view of
// its own, which Abseil's functions take instead of the standard library's.
#ifndef DUET_TEXT_STR_CAT_H_
#define DUET_TEXT_STR_CAT_H_

#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

#include <string>
#include <string_view>

namespace text {

// A text as Abseil's functions take it, and what they return as the standard library has it.
inline absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view StdView(absl::string_view text) { return {text.data(), text.size()}; }

namespace internal {

template <typename Part>
const Part& ForStrCat(const Part& part) {
  return part;
}
inline absl::string_view ForStrCat(const std::string_view& part) { return View(part); }

}  // namespace internal

// The parts may be texts of any type and numbers.
template <typename... Parts>
std::string StrCat(const Parts&... parts) {
  return absl::StrCat(internal::ForStrCat(parts)...);
}
template <typename... Parts>
void StrAppend(std::string* text, const Parts&... parts) {
  absl::StrAppend(text, internal::ForStrCat(parts)...);
}

}  // namespace text

#endif  // DUET_TEXT_STR_CAT_H_
