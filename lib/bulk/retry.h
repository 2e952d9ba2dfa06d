// The images that failed in a complete run, tried again: a run of its own, in a folder of the
// run's, whose results take the failures' places once all are there. Killed at any moment, it goes
// on.
#ifndef DUET_BULK_RETRY_H_
#define DUET_BULK_RETRY_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <utility>

#include "bulk/journal.h"
#include "bulk/run_folder.h"

namespace bulk {

class Retry {
 public:
  // Begins it, or finds the one that was begun. `run` outlives it; `totals`: of the run's journal.
  static absl::StatusOr<Retry> Begin(const RunFolder& run, const Totals& totals);

  const std::string& folder() const { return folder_; }  // of its journal
  std::string manifest() const { return folder_ + "/manifest"; }
  std::uint64_t images() const { return images_; }

  // Puts the results into the run's journal, which must be opened again then. REQUIRES: its own
  // journal is complete. Call once, last.
  absl::Status Finish() const;

 private:
  Retry(const RunFolder& run, std::uint64_t of, std::uint64_t images)
      : run_(run), folder_(run.path() + "/again"), of_(of), images_(images) {}

  absl::Status WriteManifest() const;
  // Makes a journal of all in `folder`.
  absl::Status Merge(const std::string& folder) const;

  const RunFolder& run_;
  const std::string folder_;
  const std::uint64_t of_;      // images of the run
  const std::uint64_t images_;  // those that failed
};

}  // namespace bulk

#endif  // DUET_BULK_RETRY_H_
