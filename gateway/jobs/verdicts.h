// Which model serves, by a training's verdict: what is BETTER becomes the version that serving.json
// names (lib/model_store). Several gateways may see the same verdict; one of them applies it.
#ifndef DUET_GATEWAY_JOBS_VERDICTS_H_
#define DUET_GATEWAY_JOBS_VERDICTS_H_

#include <absl/status/status.h>

#include <string>

#include "duet/trainer/v1/trainer.pb.h"
#include "model_store/model_store.h"

namespace gateway::jobs {

// What became of a verdict.
struct AppliedVerdict {
  enum class Outcome {
    kSwapped,     // the new version serves now
    kKept,        // it isn't better, or nobody can tell
    kSuperseded,  // it was compared with something else than what serves now
    kDecided,     // it was applied before, by this gateway or another one
    kFailed,      // see `status`; what served goes on
  };
  Outcome outcome = Outcome::kKept;
  absl::Status status;
  std::string sentence;  // for people; "" if the job's own message says all
};

model_store::Kind KindOf(duet::trainer::v1::ModelKind kind);

// REQUIRES: the job's state is DONE. Blocks on the file system, as long as it takes to read the new
// version's files.
AppliedVerdict ApplyVerdict(const model_store::ModelStore& store,
                            const duet::trainer::v1::Job& job);

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_VERDICTS_H_
