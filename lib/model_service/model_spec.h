// ModelSpec: which model a request asks for, and which one answered.
#ifndef DUET_MODEL_SERVICE_MODEL_SPEC_H_
#define DUET_MODEL_SERVICE_MODEL_SPEC_H_

#include <absl/status/status.h>

#include <string>

#include "duet/vision/v1/model.pb.h"

namespace model_service {

// What the checkpoint of the command line serves under.
inline constexpr char kDefaultModel[] = "default";

// FailedPrecondition unless `spec` asks for what serves as kDefaultModel in `served_version`, since
// another replica may have what it asks for.
absl::Status CheckSpec(const duet::vision::v1::ModelSpec& spec, const std::string& served_version);

// For an answer that kDefaultModel made in this version.
void WriteSpec(const std::string& version, duet::vision::v1::ModelSpec* spec);

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_MODEL_SPEC_H_
