// A training that somebody asked for, from its place in the queue to its verdict: plain values, and
// their text in a file.
#ifndef DUET_TRAINER_SERVICE_JOBS_JOB_H_
#define DUET_TRAINER_SERVICE_JOBS_JOB_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model_store/names.h"

namespace trainer_service {

enum class JobState { kQueued, kFreezing, kTraining, kComparing, kDone, kFailed, kCancelled };

// "queued", "freezing", …: in files, logs and metrics.
std::string_view NameOf(JobState state);
inline bool HasEnded(JobState state) { return state >= JobState::kDone; }

enum class Outcome { kBetter, kNotBetter, kUndecided };

// "better", "not_better" or "undecided".
std::string_view NameOf(Outcome outcome);
std::optional<Outcome> OutcomeOf(std::string_view name);

// What the comparison of the new model with the one before gave.
struct Verdict {
  Outcome outcome = Outcome::kUndecided;
  std::uint64_t version = 0;  // the new one, below the model root
  double old_score = 0;       // 0 to 1
  double new_score = 0;
  std::uint32_t images_needed = 0;  // 0 unless undecided
  std::string model_sha256;         // of the new version's weights
};

struct Progress {
  std::uint32_t step = 0;
  std::uint32_t steps = 0;
  std::optional<double> loss;
  std::optional<double> score;
  double remaining_s = 0;  // 0: not known
};

// What is asked for.
struct JobRequest {
  std::uint64_t project = 0;
  model_store::Kind kind = model_store::Kind::kDetector;
  std::string requested_by;
  // A detector's: its segmenter is trained next, if the project turns out to have masks.
  bool and_segmenter = false;
};

struct Job {
  // "17-3fa2c1": the number, which orders jobs whatever the clock says, and a part that makes it
  // another one than a job 17 of a work folder that was lost.
  std::string id;
  std::uint64_t number = 0;
  std::uint64_t project = 0;
  model_store::Kind kind = model_store::Kind::kDetector;
  std::string requested_by;
  bool and_segmenter = false;  // JobRequest's
  std::string next;            // the id of the segmenter's job that was queued for it; "": none
  JobState state = JobState::kQueued;
  std::string message;  // one sentence
  // Milliseconds since 1970; 0: not yet.
  std::int64_t queued_ms = 0;
  std::int64_t started_ms = 0;
  std::int64_t ended_ms = 0;
  Progress progress;  // not kept in the file: a training that goes on says it again
  std::uint32_t images = 0;
  std::uint32_t annotations = 0;
  std::optional<Verdict> verdict;

  // What was settled when the job began, and holds if it goes on after a restart.
  std::string model;            // "project-7", as model_store calls it
  std::uint64_t parent = 0;     // the version that it begins from; 0: the default model
  std::string revision;         // of the data; "" until it is frozen
  std::string project_created;  // RFC 3339; "": not known
  std::string left_out;         // a sentence about what couldn't be used; "" if all could
  int starts = 0;               // of duet-train that ended badly, since it last got on
  double looks = 0;             // looks.h; 0: not compared yet
};

std::string JobText(const Job& job);
// DataLoss if it is not such a text.
absl::StatusOr<Job> ParseJob(std::string_view text);

}  // namespace trainer_service

#endif  // DUET_TRAINER_SERVICE_JOBS_JOB_H_
