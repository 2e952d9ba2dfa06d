#include "model_service/model_spec.h"

#include <absl/strings/str_cat.h>

#include "text/utf8.h"

namespace model_service {
namespace {

// What a request said, for a sentence: a client's text has no bound.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", std::string(text::Utf8Prefix(text, 200)), "'");
}

}  // namespace

absl::Status CheckSpec(const duet::vision::v1::ModelSpec& spec, const std::string& served_version) {
  if (!spec.name().empty() && spec.name() != kDefaultModel) {
    return absl::FailedPreconditionError(absl::StrCat("model.name is ", Quoted(spec.name()),
                                                      ", but this replica serves '", kDefaultModel,
                                                      "' only"));
  }
  if (!spec.version().empty() && spec.version() != served_version) {
    return absl::FailedPreconditionError(absl::StrCat("model.version is ", Quoted(spec.version()),
                                                      ", but this replica serves version '",
                                                      served_version, "'"));
  }
  return absl::OkStatus();
}

void WriteSpec(const std::string& version, duet::vision::v1::ModelSpec* spec) {
  spec->set_name(kDefaultModel);
  spec->set_version(version);
}

}  // namespace model_service
