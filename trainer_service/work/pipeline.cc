#include "trainer_service/work/pipeline.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "files/atomic_file.h"
#include "label_studio/task.h"
#include "serving/log.h"
#include "text/str_cat.h"
#include "trainer_service/work/freeze.h"
#include "trainer_service/work/looks.h"
#include "trainer_service/work/publish.h"

namespace trainer_service {
namespace {

using text::StrCat;

// Annotated images of which a fifth, which is measured with, says something at all.
constexpr std::uint64_t kFewestImages = 10;

// A sentence with what was left out behind it.
std::string WithRemarks(std::string sentence, const std::string& remarks) {
  return remarks.empty() ? sentence : StrCat(sentence, "; ", remarks);
}

model_store::Verdict NothingToMeasureWith() {
  return {.outcome = model_store::Verdict::Outcome::kUndecided,
          .reason = "no annotated image is left to measure with, so old and new can't be compared",
          .images_needed = kFewestImages};
}

Outcome OutcomeOf(model_store::Verdict::Outcome outcome) {
  switch (outcome) {
    case model_store::Verdict::Outcome::kBetter:
      return Outcome::kBetter;
    case model_store::Verdict::Outcome::kNotBetter:
      return Outcome::kNotBetter;
    case model_store::Verdict::Outcome::kUndecided:
      return Outcome::kUndecided;
  }
  return Outcome::kUndecided;
}

// Of the trainings: duet-train's default, unless a flag says another one.
std::uint64_t SeedOf(const std::vector<std::string>& flags) {
  std::uint64_t seed = 1;
  constexpr std::string_view kFlag = "--seed=";
  for (const std::string& flag : flags) {
    if (flag.starts_with(kFlag)) (void)absl::SimpleAtoi(flag.substr(kFlag.size()), &seed);
  }
  return seed;
}

}  // namespace

// Into the job's record, which may have to wait for room on the disk.
absl::Status Pipeline::Keep(JobControl& control) const {
  return RepeatWhilePassing(options_.patience, control,
                            [&] { return control.Changed(/*durable=*/true); });
}

absl::Status Pipeline::Enter(JobState state, std::string message, JobControl& control) const {
  control.job().state = state;
  control.job().message = std::move(message);
  return Keep(control);
}

absl::Status Pipeline::Run(JobControl& control) const {
  const Job& job = control.job();
  using Step = absl::Status (Pipeline::*)(JobControl&) const;
  constexpr std::pair<JobState, Step> kSteps[] = {
      {JobState::kQueued, &Pipeline::Begin},
      {JobState::kFreezing, &Pipeline::Freeze},
      {JobState::kTraining, &Pipeline::TrainIt},
      {JobState::kComparing, &Pipeline::CompareAndPublish}};
  for (const auto& [state, step] : kSteps) {
    if (absl::Status go_on = GoOn(control); !go_on.ok()) return go_on;
    if (job.state != state) continue;
    if (absl::Status done = (this->*step)(control); !done.ok()) return done;
  }
  return absl::OkStatus();
}

// A version of the same name that another Label Studio's project 7 gave would be mixed with ours.
absl::Status Pipeline::CheckIsOurs(const Job& job) const {
  const auto versions = store_.ListVersions(job.kind, job.model);
  if (absl::IsNotFound(versions.status())) return absl::OkStatus();
  if (!versions.ok()) return versions.status();
  const label_studio_api::LabelStudioSite& site = source_.site;
  for (const std::uint64_t version : *versions) {
    const auto manifest = store_.ReadManifest(job.kind, job.model, version);
    if (!manifest.ok() || manifest->label_studio_url.empty()) continue;
    const std::string& url = manifest->label_studio_url;
    if (url == site.url ||
        std::find(site.aliases.begin(), site.aliases.end(), url) != site.aliases.end()) {
      continue;
    }
    return absl::FailedPreconditionError(StrCat(
        store_.PathOf(job.kind, job.model, version), " is of project ", manifest->project_id,
        " of ", url, ", not of ", site.url,
        "; give each Label Studio a model root of its own, or name it by --label_studio_alias"));
  }
  return absl::OkStatus();
}

// Nor one of the same Label Studio that was installed anew or restored.
absl::Status Pipeline::CheckIsSameProject(const Job& job, std::int64_t created) const {
  const auto versions = store_.ListVersions(job.kind, job.model);
  if (!versions.ok() || created == 0) return absl::OkStatus();
  for (const std::uint64_t version : *versions) {
    const auto manifest = store_.ReadManifest(job.kind, job.model, version);
    if (!manifest.ok()) continue;
    const std::int64_t before = label_studio::SecondsOf(manifest->project_created);
    if (before == 0 || before == created) continue;
    return absl::FailedPreconditionError(StrCat(
        store_.PathOf(job.kind, job.model, version), " is of a project ", job.project,
        " that was created at ", manifest->project_created, ", but that of ", source_.site.url,
        " was created at ", TimeText(created), ": another one. 'duet models delete ", job.model,
        KindFlag(job.kind), "' and 'duet train --forget=", job.project, "' make room for it"));
  }
  return absl::OkStatus();
}

std::string Pipeline::SidesOfParent(const Job& job) const {
  if (job.parent == 0) return "";
  return StrCat(store_.PathOf(job.kind, job.model, job.parent), "/", kSidesFile);
}

absl::Status Pipeline::CheckParent(const Job& job) const {
  if (job.parent == 0) return absl::OkStatus();
  const auto verified = store_.VerifyVersion(job.kind, job.model, job.parent);
  if (verified.ok()) return absl::OkStatus();
  return absl::Status(verified.status().code(),
                      StrCat("version ", job.parent, " of ", job.model,
                             ", which serves, can't be begun from: ", verified.status().message(),
                             "; 'duet models rollback ", job.model, KindFlag(job.kind),
                             "' lets another one serve"));
}

const TrainedKind& Pipeline::KindOf(const Job& job) const {
  return job.kind == model_store::Kind::kSegmenter ? options_.segmenter : options_.detector;
}

absl::Status Pipeline::Begin(JobControl& control) const {
  Job& job = control.job();
  if (absl::Status may = CheckCanPublish(store_, job.kind, job.model); !may.ok()) return may;
  if (absl::Status ours = CheckIsOurs(job); !ours.ok()) return ours;
  const auto serving = store_.ReadServing(job.kind, job.model);
  if (!serving.ok() && !absl::IsNotFound(serving.status())) return serving.status();
  job.parent = serving.ok() ? serving->version : 0;
  if (absl::Status whole = CheckParent(job); !whole.ok()) return whole;
  return Enter(JobState::kFreezing, "copies annotations and images", control);
}

absl::Status Pipeline::Freeze(JobControl& control) const {
  Job& job = control.job();
  absl::StatusOr<FrozenProject> frozen = absl::UnknownError("");
  const absl::Status done = RepeatWhilePassing(options_.patience, control, [&] {
    frozen = FreezeProject(
        source_, folders_.job_folder(job.id) + "/data", folders_.project_folder(job.project),
        SidesOfParent(job), [&](std::int64_t created) { return CheckIsSameProject(job, created); },
        control);
    return frozen.status();
  });
  if (!done.ok()) return done;
  const dataset::Revision& revision = frozen->revision;
  const absl::Status kept = RepeatWhilePassing(options_.patience, control, [&] {
    return files::WriteFile(LabelConfigOf(job), frozen->label_config);
  });
  if (!kept.ok()) return kept;
  job.revision = revision.id;
  job.project_created = frozen->project_created;
  if (absl::Status usable = CheckUsable(job.project, revision, job.kind); !usable.ok()) {
    return usable;
  }
  const Usable learned = UsableOf(revision, dataset::Side::kTrain, job.kind);
  const Usable compared = UsableOf(revision, dataset::Side::kValidation, job.kind);
  job.images = static_cast<std::uint32_t>(learned.images.size() + compared.images.size());
  job.annotations = static_cast<std::uint32_t>(learned.objects + compared.objects);
  job.left_out = frozen->left_out;
  QueueNext(revision, control);
  const std::string lost = LostClasses(job, revision);
  if (!lost.empty()) job.left_out = WithRemarks(lost, job.left_out);
  serving::LogLine("job.frozen")
      .Str("job", job.id)
      .Str("kind", std::string(model_store::NameOf(job.kind)))
      .Str("revision", job.revision)
      .Int("images", job.images)
      .Int("annotations", job.annotations)
      .Str("left_out", job.left_out);
  return Enter(JobState::kTraining,
               WithRemarks(StrCat("trains on ", job.images, " images with ", job.annotations,
                                  " annotated objects"),
                           job.left_out),
               control);
}

void Pipeline::QueueNext(const dataset::Revision& revision, JobControl& control) const {
  Job& job = control.job();
  constexpr model_store::Kind kNext = model_store::Kind::kSegmenter;
  // Who cancels the one meanwhile wants neither.
  if (!job.and_segmenter || control.should_end() || options_.segmenter.checkpoint.empty() ||
      !CheckUsable(job.project, revision, kNext).ok()) {
    return;
  }
  // If this process is killed before it is noted, the same job is joined the next time.
  const absl::StatusOr<Job> next =
      control.Submit({.project = job.project, .kind = kNext, .requested_by = job.requested_by});
  if (next.ok()) {
    job.next = next->id;
  } else {
    serving::LogLine("job.next_refused", serving::LogLevel::kWarning)
        .Str("job", job.id)
        .Int("project", static_cast<std::int64_t>(job.project))
        .Status(next.status());
    job.left_out = WithRemarks(
        StrCat("the segmenter is not trained along: ", next.status().message()), job.left_out);
  }
}

// Labels that the parent was trained with and that the project no longer has, as after a renaming.
std::string Pipeline::LostClasses(const Job& job, const dataset::Revision& revision) const {
  if (job.parent == 0 || !KnowsClasses(job.kind)) return "";
  const auto parent = store_.ReadManifest(job.kind, job.model, job.parent);
  if (!parent.ok()) return "";
  std::string lost;
  for (const std::string& name : parent->classes) {
    const auto& classes = revision.dataset.classes;
    if (std::find(classes.begin(), classes.end(), name) != classes.end()) continue;
    text::StrAppend(&lost, lost.empty() ? "" : ", ", "'", name, "'");
  }
  if (lost.empty()) return "";
  return StrCat("version ", job.parent, " knows labels that the project no longer has: ", lost);
}

absl::StatusOr<dataset::Revision> Pipeline::RevisionOf(const Job& job) const {
  return dataset::ReadRevision(folders_.project_folder(job.project), job.revision);
}

std::string Pipeline::LabelConfigOf(const Job& job) const {
  return folders_.job_folder(job.id) + "/label_config.xml";
}

TrainingFiles Pipeline::FilesOf(const Job& job, const dataset::Revision& revision) const {
  const std::string images = folders_.project_folder(job.project);
  const std::string folder = StrCat(images, "/revisions/", job.revision);
  const bool measured = UsableOf(revision, dataset::Side::kValidation, job.kind).objects > 0;
  const TrainedKind& kind = KindOf(job);
  return {.command = std::string(TrainCommand(job.kind)),
          .flags = kind.train_flags,
          .train = folder + "/train.json",
          .validation = measured ? folder + "/validation.json" : "",
          .images = images,
          .label_config = KnowsClasses(job.kind) ? LabelConfigOf(job) : "",
          .annotated = static_cast<int>(job.images),
          .from = job.parent == 0 ? kind.checkpoint
                                  : StrCat(store_.PathOf(job.kind, job.model, job.parent), "/",
                                           model_store::kModelFile),
          .out = folders_.job_folder(job.id) + "/train"};
}

absl::Status Pipeline::TrainIt(JobControl& control) const {
  const absl::StatusOr<dataset::Revision> revision = RevisionOf(control.job());
  if (!revision.ok()) return revision.status();
  const TrainingFiles files = FilesOf(control.job(), *revision);
  const absl::Status trained = RepeatWhilePassing(
      options_.patience, control, [&] { return Train(options_.child, files, control); });
  if (!trained.ok()) return trained;
  control.job().starts = 0;  // the comparison's count from here on
  return Enter(JobState::kComparing, "compares the new model with the one that serves", control);
}

absl::StatusOr<std::uint64_t> Pipeline::Publish(const dataset::Revision& revision,
                                                const model_store::Verdict& verdict,
                                                JobControl& control) const {
  const Job& job = control.job();
  std::vector<std::string> classes;
  if (KnowsClasses(job.kind)) classes = revision.dataset.classes;
  model_store::Manifest manifest{.kind = job.kind,
                                 .name = job.model,
                                 .parent = job.parent,
                                 .created = {},
                                 .label_studio_url = source_.site.url,
                                 .project_id = job.project,
                                 .project_created = job.project_created,
                                 .revision = job.revision,
                                 .images = job.images,
                                 .annotations = job.annotations,
                                 .classes = std::move(classes),
                                 .verdict = verdict,
                                 .seed = SeedOf(KindOf(job).train_flags),
                                 .files = {}};
  std::uint64_t version = 0;
  const absl::Status done = RepeatWhilePassing(options_.patience, control, [&] {
    auto published = PublishVersion(store_, FilesOf(job, revision).out,
                                    SidesPath(folders_.project_folder(job.project)), manifest);
    if (published.ok()) version = *published;
    return published.status();
  });
  if (!done.ok()) return done;
  return version;
}

// Once a job, also if it is interrupted.
absl::Status Pipeline::CountThisLook(const dataset::Revision& revision, JobControl& control) const {
  Job& job = control.job();
  if (job.looks > 0) return absl::OkStatus();
  absl::StatusOr<double> looks = 0.0;
  const absl::Status counted = RepeatWhilePassing(options_.patience, control, [&] {
    looks = CountLook(LooksPath(job.kind, folders_.project_folder(job.project)),
                      UsableOf(revision, dataset::Side::kValidation, job.kind).images);
    return looks.status();
  });
  if (!counted.ok()) return counted;
  job.looks = *looks;
  return Keep(control);
}

absl::Status Pipeline::CompareAndPublish(JobControl& control) const {
  Job& job = control.job();
  const absl::StatusOr<dataset::Revision> revision = RevisionOf(job);
  if (!revision.ok()) return revision.status();
  const TrainingFiles files = FilesOf(job, *revision);
  if (absl::Status counted = CountThisLook(*revision, control); !counted.ok()) return counted;
  absl::StatusOr<model_store::Verdict> verdict = NothingToMeasureWith();
  if (!files.validation.empty()) {
    const absl::Status compared = RepeatWhilePassing(options_.patience, control, [&] {
      verdict = Compare(options_.child, files, files.out + "/last.pth", job.looks, control);
      return verdict.status();
    });
    if (!compared.ok()) return compared;
  }
  const absl::StatusOr<std::uint64_t> version = Publish(*revision, *verdict, control);
  if (!version.ok()) return version.status();
  const auto manifest = store_.ReadManifest(job.kind, job.model, *version);
  if (!manifest.ok()) return manifest.status();
  job.verdict = Verdict{.outcome = OutcomeOf(verdict->outcome),
                        .version = *version,
                        .old_score = verdict->old_score,
                        .new_score = verdict->new_score,
                        .images_needed = static_cast<std::uint32_t>(verdict->images_needed),
                        .model_sha256 = manifest->weights().sha256};
  job.message = WithRemarks(verdict->reason, job.left_out);
  job.state = JobState::kDone;
  const auto removed = store_.DeleteOldVersions(job.kind, job.model, options_.keep_versions);
  serving::LogLine log("versions.kept");
  log.Str("model", job.model).Int("newest", static_cast<std::int64_t>(*version));
  if (removed.ok()) log.Str("deleted", absl::StrJoin(*removed, ","));
  if (!removed.ok()) log.Status(removed.status());
  return absl::OkStatus();
}

}  // namespace trainer_service
