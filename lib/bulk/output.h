// What a run's results are written as. Each format is a function that reads the results in order
// and writes them as it goes, so that an output's bytes follow from the journal alone.
#ifndef DUET_BULK_OUTPUT_H_
#define DUET_BULK_OUTPUT_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "bulk/head.h"
#include "bulk/item.h"
#include "bulk/journal.h"
#include "bulk/label_studio_project.h"
#include "bulk/patience.h"
#include "bulk/run_folder.h"
#include "dataset/findings.h"
#include "dataset/sample.h"
#include "label_studio/result.h"

namespace bulk {

struct ShardIdentity;  // shard_result.h

struct OutputOptions {
  std::string out;
  bool polygons = false;     // outlines instead of run lengths, where a format has both
  std::string image_prefix;  // put before the image in a Label Studio task
  // Where predictions go to instead of a file of tasks; null: to the file. Outlives this.
  LabelStudioProject* project = nullptr;
  Patience patience;  // with a project that is away
  // Of an image whose result the project doesn't take, and why: one sentence. May be empty.
  std::function<void(const Item& item, const std::string& why)> on_refused = nullptr;
  // Which shard's results are written for others to merge them; null: they are all. Outlives this.
  const ShardIdentity* shard = nullptr;
};

// A finished run, or as far as it is.
struct Results {
  const RunFolder& folder;
  const Head& head;
  std::uint64_t count = 0;  // images with a record
  Totals totals = {};       // of them
};

using ClassNames = std::set<std::string, std::less<>>;

struct OutputFormat {
  std::string_view name;
  bool is_folder = false;    // of one file an image
  bool needs_masks = false;  // can't be written without
  bool needs_label_config = false;
  bool writes_nothing = false;
  // Of which classes it writes masks with this label config and these models; none: no masks. Null:
  // --masks tells whether there are any, and then of all classes. InvalidArgument if the config
  // can't be used.
  absl::StatusOr<ClassNames> (*masked_classes)(const Head& head) = nullptr;
  // Writes all of it, or nothing. Errors are those of the file system, ResourceExhausted for a full
  // disk among them, and DataLoss for a damaged journal.
  absl::Status (*write)(const Results& results, const OutputOptions& options,
                        dataset::Findings* findings) = nullptr;
};

absl::Span<const OutputFormat> OutputFormats();
// Of runs that have none, whose results are elsewhere. No name stands for it.
const OutputFormat& NoOutput();
// Null if there is none of this name.
const OutputFormat* FindOutputFormat(std::string_view name);

// Internal to the formats: a record's objects as the rooms that write them have them. DataLoss if
// one isn't as the pipeline writes it.
absl::StatusOr<std::vector<dataset::Object>> ToDatasetObjects(const duet::bulk::v1::Found& found);
absl::StatusOr<std::vector<label_studio::Object>> ToLabelStudioObjects(
    const duet::bulk::v1::Found& found, const Head& head);

// Each in the file of its name.
absl::Status WriteCocoOutput(const Results& results, const OutputOptions& options,
                             dataset::Findings* findings);
absl::StatusOr<ClassNames> LabelStudioMaskedClasses(const Head& head);
absl::Status WriteLabelStudioOutput(const Results& results, const OutputOptions& options,
                                    dataset::Findings* findings);
// In text_outputs.cc.
absl::Status WriteYoloOutput(const Results& results, const OutputOptions& options,
                             dataset::Findings* findings);
absl::Status WriteVocOutput(const Results& results, const OutputOptions& options,
                            dataset::Findings* findings);
absl::Status WriteDotaOutput(const Results& results, const OutputOptions& options,
                             dataset::Findings* findings);
absl::Status WritePngOutput(const Results& results, const OutputOptions& options,
                            dataset::Findings* findings);

// Where the images that failed are listed: beside the output.
std::string FailuresPath(const std::string& out);

struct ItemFailure {
  Item item;
  duet::bulk::v1::Failure failure;
};
// The images that failed, and then `more`, one JSON object a line:
// {"image":…,"kind":…,"error":…}.
absl::Status WriteFailures(const Results& results, absl::Span<const ItemFailure> more,
                           const std::string& path);

}  // namespace bulk

#endif  // DUET_BULK_OUTPUT_H_
