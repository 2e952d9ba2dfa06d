// absl::StrCat that takes std::string_view as well: Debian builds Abseil with a string_view of its
// own.
#ifndef DUET_CHECKPOINT_STR_CAT_H_
#define DUET_CHECKPOINT_STR_CAT_H_

#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

#include <string>
#include <string_view>

namespace checkpoint {
namespace internal {

template <typename Part>
const Part& ForStrCat(const Part& part) {
  return part;
}
inline absl::string_view ForStrCat(const std::string_view& part) {
  return absl::string_view(part.data(), part.size());
}

}  // namespace internal

template <typename... Parts>
std::string StrCat(const Parts&... parts) {
  return absl::StrCat(internal::ForStrCat(parts)...);
}

}  // namespace checkpoint

#endif  // DUET_CHECKPOINT_STR_CAT_H_
