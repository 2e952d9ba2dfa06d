// What a bulk run ended with, as its command says it.
#ifndef DUET_CLI_RUN_OUTCOME_H_
#define DUET_CLI_RUN_OUTCOME_H_

#include <absl/status/status.h>

#include <cstdint>
#include <string>

#include "bulk/finish_run.h"

namespace cli {

// What a listing left out, to stderr.
void PrintLeftOut(std::uint64_t files, std::uint64_t folders, const std::string& first_folder);

// To stdout, and to stderr what the output couldn't hold.
void PrintOutcome(const std::string& out, bool json, const bulk::RunResult& result);

// OK if no image failed. Aborted if some did, FailedPrecondition if all did, with the file that
// lists them.
absl::Status FailuresAsStatus(const bulk::RunResult& result);

}  // namespace cli

#endif  // DUET_CLI_RUN_OUTCOME_H_
