// duet-train as a child: a training whose progress is told as it goes, and a comparison.
#ifndef DUET_TRAINER_SERVICE_WORK_TRAINING_CHILD_H_
#define DUET_TRAINER_SERVICE_WORK_TRAINING_CHILD_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model_store/manifest.h"
#include "trainer_service/jobs/job.h"
#include "trainer_service/work/job_control.h"

namespace trainer_service {

struct TrainingChildOptions {
  std::string program;           // duet-train's path
  int threads = 0;               // 0: as many as the process has CPUs
  std::uint64_t max_memory = 0;  // bytes; 0: no limit
  // How long it has to save its state when this process stops.
  absl::Duration patience = absl::Seconds(20);
};

// Takes what a line of `duet-train --json` says of the progress. True if the job has changed. Lines
// that it doesn't know change nothing.
bool TakeTrainingLine(std::string_view line, Job* job);

// The same of a line of `duet-train compare --progress`.
bool TakeComparisonLine(std::string_view line, Job* job);

// The verdict of `duet-train compare --json`. InvalidArgument if it is none.
absl::StatusOr<model_store::Verdict> ReadComparison(std::string_view json);

// What one training is about.
struct TrainingFiles {
  std::string command;             // of duet-train, that trains it; "": its default
  std::vector<std::string> flags;  // what the operator says besides, such as "--epochs=40"
  std::string train;               // COCO
  std::string validation;          // COCO; "": nothing is measured
  std::string images;              // the folder that both name images in
  // Of the project, XML: which of its labels the checkpoint's classes stand for; "": by name.
  std::string label_config;
  int annotated = 0;  // images on both sides
  std::string from;   // the checkpoint
  std::string out;    // of duet-train; a training that was interrupted goes on there
};

// Trains, to the end. One that was killed goes on from its last save, but not for ever
// (Job::starts). Aborted, with one sentence, if it has failed; ResourceExhausted if the disk is
// full: a later call goes on; Cancelled if the job shall end.
absl::Status Train(const TrainingChildOptions& options, const TrainingFiles& files,
                   JobControl& control);

// Compares `files.from` with `new_model` on the validation images, which have decided `looks`
// times, this time included. Tells how far it is. Errors as Train.
absl::StatusOr<model_store::Verdict> Compare(const TrainingChildOptions& options,
                                             const TrainingFiles& files,
                                             const std::string& new_model, double looks,
                                             JobControl& control);

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_WORK_TRAINING_CHILD_H_
