// Whether the model that a process serves is the one that a request asks for.
#ifndef DUET_SERVING_MODEL_SPEC_H_
#define DUET_SERVING_MODEL_SPEC_H_

#include <absl/status/status.h>
#include <absl/strings/string_view.h>

namespace serving {

// What the checkpoint of the command line serves under.
inline constexpr absl::string_view kDefaultModel = "default";

// `name` and `version` as in a request's ModelSpec: empty ones are any. FailedPrecondition unless
// the model that serves as kDefaultModel in `served_version` is meant; another replica may have it.
absl::Status CheckServes(absl::string_view name, absl::string_view version,
                         absl::string_view served_version);

}  // namespace serving

#endif  // DUET_SERVING_MODEL_SPEC_H_
