#include "model_service/model_spec.h"

#include <absl/strings/str_cat.h>

#include "text/utf8.h"

namespace model_service {

std::string QuotedForClient(const std::string& text) {
  return absl::StrCat("'", std::string(text::Utf8Prefix(text, 200)), "'");
}

bool IsDefault(const duet::vision::v1::ModelSpec& spec) {
  return spec.name().empty() || spec.name() == kDefaultModel;
}

absl::Status CheckVersion(const duet::vision::v1::ModelSpec& spec,
                          const std::string& served_version) {
  if (spec.version().empty() || spec.version() == served_version) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("model.version is ", QuotedForClient(spec.version()),
                   ", but this replica serves version '", served_version, "'"));
}

absl::Status NoNamedModels(const duet::vision::v1::ModelSpec& spec) {
  return absl::FailedPreconditionError(absl::StrCat("model.name is ", QuotedForClient(spec.name()),
                                                    ", but this replica serves '", kDefaultModel,
                                                    "' only"));
}

void WriteSpec(const std::string& name, const std::string& version,
               duet::vision::v1::ModelSpec* spec) {
  spec->set_name(name);
  spec->set_version(version);
}

}  // namespace model_service
