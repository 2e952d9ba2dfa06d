// What differs between the kinds of models that are trained. All else of a job is the same for all:
// the queue, the freezing, the child, the comparison, the publishing.
#ifndef DUET_TRAINER_SERVICE_WORK_TRAINED_KIND_H_
#define DUET_TRAINER_SERVICE_WORK_TRAINED_KIND_H_

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/revision.h"
#include "model_store/names.h"

namespace trainer_service {

// What the operator says of a kind.
struct TrainedKind {
  // The default model, which first trainings begin from; "": no model of this kind is trained.
  std::string checkpoint;
  std::vector<std::string> train_flags;  // for duet-train's trainings, such as "--epochs=40"
};

// The command of duet-train that trains it: "" or "segmenter".
std::string_view TrainCommand(model_store::Kind kind);
// Whether a model of this kind knows classes, which labels of a project stand for.
bool KnowsClasses(model_store::Kind kind);
// " --kind=segmenter" behind a command of `duet models`, whose default is the detector.
std::string_view KindFlag(model_store::Kind kind);
// Where it is counted how often a project's images have decided (looks.h): each kind has its own
// verdicts.
std::string LooksPath(model_store::Kind kind, const std::string& project_folder);

// What a model of this kind can learn from, or be compared on.
struct Usable {
  std::vector<std::string> images;  // their hashes
  std::size_t objects = 0;          // without crowds
};
// A detector uses all images of the side; a segmenter those with a mask, and the objects that have
// one.
Usable UsableOf(const dataset::Revision& revision, dataset::Side side, model_store::Kind kind);

// OK, or FailedPrecondition with the reason why nothing can be learned from the revision.
absl::Status CheckUsable(std::uint64_t project, const dataset::Revision& revision,
                         model_store::Kind kind);

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_WORK_TRAINED_KIND_H_
