// A trained model becomes a version below the model root.
#ifndef DUET_TRAINER_SERVICE_WORK_PUBLISH_H_
#define DUET_TRAINER_SERVICE_WORK_PUBLISH_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>

#include "model_store/manifest.h"
#include "model_store/model_store.h"

namespace trainer_service {

// The sides of the images that a version has learned from or was measured with: hashes.
inline constexpr char kSidesFile[] = "sides.json";

// Copies what duet-train left in `folder` into a new version: last.pth, which is called model.pth
// there, the JSON that may lie beside it, config.py, report.md, curves.svg and log.jsonl, as far as
// they exist. (best.pth was chosen on the images that old and new are compared on, which flatters
// it.) And the file `sides`, since what a model has learned from must stay known wherever the model
// goes. If such a version is there already, because a process was killed just after it had
// published, it is that one. Returns the number. Errors of model_store::Staging, and of the file
// system; nothing is left behind then.
absl::StatusOr<std::uint64_t> PublishVersion(const model_store::ModelStore& store,
                                             const std::string& folder, const std::string& sides,
                                             model_store::Manifest manifest);

// OK if versions of this name can be written; otherwise what stands against it.
absl::Status CheckCanPublish(const model_store::ModelStore& store, model_store::Kind kind,
                             const std::string& name);

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_WORK_PUBLISH_H_
