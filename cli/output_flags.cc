#include "cli/output_flags.h"

#include <vector>

#include "bulk/output.h"

namespace cli {
namespace {

std::vector<std::string> FormatNames() {
  std::vector<std::string> names;
  for (const bulk::OutputFormat& format : bulk::OutputFormats()) names.emplace_back(format.name);
  return names;
}

}  // namespace

void AddOutputFlags(OutputFlags* options, serving::FlagTable* flags) {
  flags->Add("out", &options->out,
             "The file, or for formats of many files the folder, that is written when all is done; "
             "or label-studio:ID, the source's project, which gets predictions. What a run needs "
             "to be resumed is kept beside it, in OUT.journal. Must be given.");
  flags->Add(
      "format", &options->format,
      "coco: boxes, masks and scores, and of a COCO source its ids; label-studio: tasks with "
      "predictions, to be imported; yolo, voc, dota (four corners): a text an image, in a "
      "folder; png: masks as images of class numbers and of object numbers.",
      serving::OneOf(FormatNames()));
  flags->Add("label_config", &options->label_config,
             "For label-studio: the project's label config, an XML file.");
  flags->Add("image_prefix", &options->image_prefix,
             "For label-studio: put before each image's path, which is percent-encoded then, such "
             "as '/data/local-files/?d=FOLDER/'.");
}

absl::Status CheckOut(const OutputFlags& options) {
  if (!options.out.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("--out (or DUET_OUT) must be given (see --help)");
}

}  // namespace cli
