#include "serving/exceptions.h"

#include <absl/strings/str_cat.h>

#include <exception>
#include <new>
#include <string>

namespace serving {

absl::Status StatusOfException(std::string_view what) {
  const std::string attempted(what);
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(attempted + ": out of memory");
  } catch (const std::exception& error) {
    const std::string_view text = error.what();
    return absl::InternalError(
        absl::StrCat(attempted, ": ", std::string(text.substr(0, text.find('\n')))));
  } catch (...) {
    return absl::InternalError(attempted + ": unknown exception");
  }
}

}  // namespace serving
