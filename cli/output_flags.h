// The flags of what a bulk run writes, and where.
#ifndef DUET_CLI_OUTPUT_FLAGS_H_
#define DUET_CLI_OUTPUT_FLAGS_H_

#include <absl/status/status.h>

#include <string>

#include "serving/flags.h"

namespace cli {

struct OutputFlags {
  std::string out;
  std::string format = "coco";
  std::string label_config;  // a path
  std::string image_prefix;
};

// `options` outlives the table.
void AddOutputFlags(OutputFlags* options, serving::FlagTable* flags);
// InvalidArgument without --out, which only commands need that write something.
absl::Status CheckOut(const OutputFlags& options);

}  // namespace cli

#endif  // DUET_CLI_OUTPUT_FLAGS_H_
