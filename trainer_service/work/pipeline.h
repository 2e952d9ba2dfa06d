// A job from its beginning to its verdict: freeze, train, compare, publish.
//
// Each step leaves what the next one needs in files, so that a job that was interrupted in any of
// them goes on there.
#ifndef DUET_TRAINER_SERVICE_WORK_PIPELINE_H_
#define DUET_TRAINER_SERVICE_WORK_PIPELINE_H_

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <cstdint>
#include <string>

#include "model_store/model_store.h"
#include "trainer_service/jobs/job_folders.h"
#include "trainer_service/work/freeze.h"
#include "trainer_service/work/job_control.h"
#include "trainer_service/work/trained_kind.h"
#include "trainer_service/work/training_child.h"

namespace trainer_service {

struct PipelineOptions {
  TrainedKind detector;
  TrainedKind segmenter;
  TrainingChildOptions child;
  // How long is tried again what may pass by itself: Label Studio is away, the disk is full.
  absl::Duration patience = absl::Minutes(10);
  std::uint64_t keep_versions = 5;
};

class Pipeline {
 public:
  Pipeline(PipelineOptions options, LabelStudioSource source, const model_store::ModelStore& store,
           const JobFolders& folders)
      : options_(std::move(options)),
        source_(std::move(source)),
        store_(store),
        folders_(folders) {}

  // From where the job is to DONE. An error's message is the sentence why it has failed; Cancelled
  // if it shall end.
  absl::Status Run(JobControl& control) const;

 private:
  absl::Status Begin(JobControl& control) const;
  absl::Status Freeze(JobControl& control) const;
  absl::Status TrainIt(JobControl& control) const;
  absl::Status CompareAndPublish(JobControl& control) const;
  absl::Status CountThisLook(const dataset::Revision& revision, JobControl& control) const;
  absl::StatusOr<std::uint64_t> Publish(const dataset::Revision& revision,
                                        const model_store::Verdict& verdict,
                                        JobControl& control) const;
  absl::StatusOr<dataset::Revision> RevisionOf(const Job& job) const;
  std::string LabelConfigOf(const Job& job) const;
  TrainingFiles FilesOf(const Job& job, const dataset::Revision& revision) const;
  absl::Status Keep(JobControl& control) const;
  absl::Status Enter(JobState state, std::string message, JobControl& control) const;
  const TrainedKind& KindOf(const Job& job) const;
  // The segmenter's training, if this one was asked for together with it.
  void QueueNext(const dataset::Revision& revision, JobControl& control) const;
  absl::Status CheckIsOurs(const Job& job) const;
  absl::Status CheckIsSameProject(const Job& job, std::int64_t created) const;
  std::string SidesOfParent(const Job& job) const;
  absl::Status CheckParent(const Job& job) const;
  std::string LostClasses(const Job& job, const dataset::Revision& revision) const;

  const PipelineOptions options_;
  const LabelStudioSource source_;
  const model_store::ModelStore& store_;
  const JobFolders& folders_;
};

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_WORK_PIPELINE_H_
