#include "serving/model_spec.h"

#include <absl/strings/str_cat.h>

#include <string>

#include "text/utf8.h"

namespace serving {
namespace {

// What a request said, for a sentence: a client's text has no bound.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", std::string(text::Utf8Prefix({text.data(), text.size()}, 200)), "'");
}

}  // namespace

absl::Status CheckServes(absl::string_view name, absl::string_view version,
                         absl::string_view served_version) {
  if (!name.empty() && name != kDefaultModel) {
    return absl::FailedPreconditionError(absl::StrCat(
        "model.name is ", Quoted(name), ", but this replica serves '", kDefaultModel, "' only"));
  }
  if (!version.empty() && version != served_version) {
    return absl::FailedPreconditionError(absl::StrCat("model.version is ", Quoted(version),
                                                      ", but this replica serves version '",
                                                      served_version, "'"));
  }
  return absl::OkStatus();
}

}  // namespace serving
