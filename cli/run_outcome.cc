#include "cli/run_outcome.h"

#include <iostream>

#include "cli/input_files.h"
#include "text/str_cat.h"

namespace cli {

void PrintLeftOut(std::uint64_t files, std::uint64_t folders, const std::string& first_folder) {
  if (files > 0) std::cerr << files << " files whose names aren't those of images, left out\n";
  if (folders > 0) {
    std::cerr << folders
              << " folders that may not be read, left out; the first: " << bulk::Shown(first_folder)
              << "\n";
  }
}

void PrintOutcome(const std::string& out, bool json, const bulk::RunResult& result) {
  const bulk::Totals& totals = result.totals;
  if (json) {
    std::cout << "{\"event\":\"done\",\"images\":" << totals.images
              << ",\"objects\":" << totals.objects << ",\"failed\":" << totals.failed()
              << ",\"done_before\":" << result.before << "}\n";
    return;
  }
  PrintFindings(result.findings);
  PrintLeftOut(result.left_out, result.closed_folders, result.first_closed);
  std::cout << out << ": " << totals.images - totals.failed() << " images, " << totals.objects
            << " objects";
  if (result.before > 0) std::cout << "; " << result.before << " were done before";
  std::cout << "\n";
}

absl::Status FailuresAsStatus(const bulk::RunResult& result) {
  if (result.failures.empty()) return absl::OkStatus();
  const bulk::Totals& totals = result.totals;
  const std::string sentence = text::StrCat(totals.failed(), " of ", totals.images,
                                            " images failed; ", result.failures, " lists them");
  return totals.failed() < totals.images ? absl::AbortedError(sentence)
                                         : absl::FailedPreconditionError(sentence);
}

}  // namespace cli
