#include "gateway/jobs/verdicts.h"

#include "model_store/rollback.h"
#include "text/str_cat.h"

namespace gateway::jobs {
namespace {

namespace trainer = duet::trainer::v1;
using model_store::Called;
using model_store::Serving;
using Outcome = AppliedVerdict::Outcome;

AppliedVerdict Failed(absl::Status status) {
  std::string sentence = text::StrCat("the new version can't serve: ", status.message());
  return {Outcome::kFailed, std::move(status), std::move(sentence)};
}

}  // namespace

model_store::Kind KindOf(trainer::ModelKind kind) {
  return kind == trainer::MODEL_KIND_SEGMENTER ? model_store::Kind::kSegmenter
                                               : model_store::Kind::kDetector;
}

AppliedVerdict ApplyVerdict(const model_store::ModelStore& store, const trainer::Job& job) {
  const trainer::Verdict& verdict = job.verdict();
  if (verdict.outcome() != trainer::Verdict::OUTCOME_BETTER) return {};
  const std::string name = model_store::ProjectName(job.project_id());
  // The trainer may be of another release, or somebody else.
  if (verdict.model_name() != name || verdict.version() == 0) {
    return Failed(absl::InvalidArgumentError(
        text::StrCat("job ", job.id(), " names version ", verdict.version(), " of '",
                     verdict.model_name(), "'; needed: a version of ", name)));
  }
  AppliedVerdict applied;
  const auto change = [&](const Serving& now) -> absl::StatusOr<Serving> {
    if (verdict.version() <= now.decided) {
      applied.outcome = Outcome::kDecided;
      applied.sentence =
          now.version == verdict.version()
              ? text::StrCat(name, " is served by version ", verdict.version(), " now")
              : text::StrCat("this verdict was decided about before, and ", Called(now.version),
                             " serves by now; duet models rollback ", name, " ", verdict.version(),
                             " lets version ", verdict.version(), " serve");
      return absl::AlreadyExistsError("this verdict was applied before");
    }
    // Numbers begin anew where a model was deleted: then this is another version, with a verdict of
    // its own.
    const auto manifest = store.ReadManifest(KindOf(job.kind()), name, verdict.version());
    if (!manifest.ok()) return manifest.status();
    const bool is_another =
        (!verdict.model_sha256().empty() && manifest->weights().sha256 != verdict.model_sha256()) ||
        (manifest->verdict && manifest->verdict->outcome != model_store::Verdict::Outcome::kBetter);
    if (is_another) {
      // For good: not what a volume that is away says, which is tried again.
      return absl::InvalidArgumentError(
          text::StrCat("version ", verdict.version(), " of ", name,
                       " is another one by now than the one that job ", job.id(), " made"));
    }
    Serving next = now;
    next.decided = verdict.version();
    if (now.version == verdict.parent()) {
      next.version = verdict.version();
      next.by = text::StrCat("job ", job.id(), " of ", job.requested_by());
      next.reason = job.message();
      applied.outcome = Outcome::kSwapped;
      applied.sentence = text::StrCat(name, " is served by version ", verdict.version(), " now");
    } else {
      applied.outcome = Outcome::kSuperseded;
      applied.sentence = text::StrCat("version ", verdict.version(), " was compared with ",
                                      Called(verdict.parent()), ", but ", Called(now.version),
                                      " serves by now, so nothing changed; duet models rollback ",
                                      name, " ", verdict.version(), " lets it serve");
    }
    return next;
  };
  const auto changed = store.UpdateServing(KindOf(job.kind()), name, change);
  if (changed.ok()) return applied;
  if (applied.outcome == Outcome::kDecided) return applied;
  return Failed(changed.status());
}

}  // namespace gateway::jobs
