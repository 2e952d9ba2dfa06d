// ModelSpec: which model a request asks for, and which one answered.
#ifndef DUET_MODEL_SERVICE_MODEL_SPEC_H_
#define DUET_MODEL_SERVICE_MODEL_SPEC_H_

#include <absl/status/status.h>

#include <string>

#include "duet/vision/v1/model.pb.h"

namespace model_service {

// What the checkpoint of the command line serves under.
inline constexpr char kDefaultModel[] = "default";

// Whether `spec` asks for kDefaultModel, which is also what an empty name means.
bool IsDefault(const duet::vision::v1::ModelSpec& spec);

// FailedPrecondition unless `spec` asks for any version or for this one, since another replica may
// have what it asks for.
absl::Status CheckVersion(const duet::vision::v1::ModelSpec& spec,
                          const std::string& served_version);

// FailedPrecondition for a name that is not kDefaultModel, where there are no others.
absl::Status NoNamedModels(const duet::vision::v1::ModelSpec& spec);

// What a request said, in quotes, for a sentence: a client's text has no bound.
std::string QuotedForClient(const std::string& text);

// For an answer that the model of this name made in this version.
void WriteSpec(const std::string& name, const std::string& version,
               duet::vision::v1::ModelSpec* spec);

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_MODEL_SPEC_H_
