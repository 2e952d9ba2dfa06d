// Whether an output can be written, asked before the work that it is the result of.
#ifndef DUET_BULK_OUTPUT_CHECK_H_
#define DUET_BULK_OUTPUT_CHECK_H_

#include <absl/status/status.h>

#include <string>

#include "bulk/output.h"

namespace bulk {

// FailedPrecondition, with one sentence, if `out` can't be written in this format, or the list of
// failures beside it can't; a disk that is full may have room by then. Changes nothing.
absl::Status CheckCanBeWritten(const OutputFormat& format, const std::string& out);

}  // namespace bulk

#endif  // DUET_BULK_OUTPUT_CHECK_H_
