#include "serving/model_spec.h"

#include <absl/strings/str_cat.h>

namespace serving {

absl::Status CheckServes(absl::string_view name, absl::string_view version,
                         absl::string_view served_version) {
  if (!name.empty() && name != kDefaultModel) {
    return absl::FailedPreconditionError(absl::StrCat("model.name is '", name.substr(0, 100),
                                                      "', but this replica serves '", kDefaultModel,
                                                      "' only"));
  }
  if (!version.empty() && version != served_version) {
    return absl::FailedPreconditionError(absl::StrCat("model.version is '", version.substr(0, 200),
                                                      "', but this replica serves version '",
                                                      served_version, "'"));
  }
  return absl::OkStatus();
}

}  // namespace serving
