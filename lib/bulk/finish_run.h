// The end of a run: from a complete journal to its output.
#ifndef DUET_BULK_FINISH_RUN_H_
#define DUET_BULK_FINISH_RUN_H_

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <cstdint>
#include <string>

#include "bulk/journal.h"
#include "bulk/output.h"
#include "bulk/patience.h"
#include "bulk/pipeline.h"
#include "dataset/findings.h"

namespace bulk {

struct RunResult {
  Totals totals;               // of all images
  std::uint64_t before = 0;    // done by earlier runs
  std::uint64_t left_out = 0;  // files in folders that aren't images by their names
  // Folders that could not be read, and the first of them, if this run has listed the source.
  std::uint64_t closed_folders = 0;
  std::string first_closed;
  std::string failures;        // the file that lists those that failed; "": none did
  dataset::Findings findings;  // what the output couldn't hold
};

// Of a reporter that is told of each wait.
Patience PatienceOf(absl::Duration lasts, Reporter& reporter);

// FailedPrecondition if something has the output's name, when a run that would write it begins.
absl::Status CheckOutIsFree(const std::string& out);

// Writes the output, and the list of images that failed beside it, and says so in `result`, whose
// totals are given. Waits for room on the disk, and for a project that is away, as long as
// `options.patience` lasts. Errors are those of OutputFormat::write.
absl::Status FinishRun(const OutputFormat& format, OutputOptions options, const Results& results,
                       Reporter& reporter, RunResult* result);

}  // namespace bulk

#endif  // DUET_BULK_FINISH_RUN_H_
