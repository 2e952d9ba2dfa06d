#include "nn/torch_status.h"

#include <absl/strings/str_cat.h>
#include <c10/util/Exception.h>

#include <new>
#include <string>

namespace nn {
namespace {

absl::string_view FirstLine(absl::string_view text) { return text.substr(0, text.find('\n')); }

}  // namespace

absl::Status StatusOfCurrentException(absl::string_view what) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(what, ": out of memory"));
  } catch (const c10::Error& error) {
    const absl::string_view text = FirstLine(error.what_without_backtrace());
    // Torch's CPU allocator throws a plain c10::Error; only its text tells.
    if (text.find("not enough memory") != absl::string_view::npos ||
        text.find("can't allocate memory") != absl::string_view::npos ||
        text.find("out of memory") != absl::string_view::npos) {
      return absl::ResourceExhaustedError(absl::StrCat(what, ": out of memory (", text, ")"));
    }
    return absl::InternalError(absl::StrCat(what, ": ", text));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat(what, ": ", FirstLine(error.what())));
  } catch (...) {
    return absl::InternalError(absl::StrCat(what, ": unknown exception"));
  }
}

}  // namespace nn
