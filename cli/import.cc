// duet import: COCO as tasks that Label Studio imports.
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/input_files.h"
#include "cli/json_line.h"
#include "dataset/coco_reader.h"
#include "dataset/label_studio_writer.h"
#include "files/atomic_file.h"
#include "files/folder.h"
#include "files/mapped_file.h"
#include "label_studio/generate.h"
#include "serving/flags.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace cli {
namespace {

using text::StrCat;

struct Options {
  std::string data;
  std::string label_config;
  std::string out;
  std::string image_prefix;
  std::string outputs = "auto";
  bool predictions = false;
  std::string model_version = "import";
  std::vector<std::string> classes;
  bool json = false;
};

void AddFlags(Options* options, serving::FlagTable* flags) {
  flags->Required("data", &options->data, "COCO's instance annotations, JSON.");
  flags->Required("out", &options->out,
                  "A folder; made if it is missing. tasks.json is written there for Label Studio's "
                  "Import, and label_config.xml.");
  flags->Add(
      "label_config", &options->label_config,
      "The project's label config, XML, which says which regions there can be; empty: one is "
      "made from the classes.");
  flags->Add("image_prefix", &options->image_prefix,
             "Put before each image's file name, which is percent-encoded then: "
             "/data/local-files/?d=FOLDER/ for a local storage. Empty: file names as they are, "
             "which may be addresses.");
  flags->Add("outputs", &options->outputs,
             "Which kinds of region: auto, or for example rectangle,brush.");
  flags->Add("predictions", &options->predictions,
             "As predictions, which people check, instead of annotations.");
  flags->Add("model_version", &options->model_version, "Of predictions.");
  flags->Add("classes", &options->classes,
             "Which classes, in which order; empty: all, by their ids.", CheckNames);
}

absl::Status Import(const Options& options) {
  auto file = files::MappedFile::Open(options.data);
  if (!file.ok()) return file.status();
  dataset::Findings findings;
  absl::StatusOr<dataset::Dataset> data =
      dataset::ReadCoco((*file)->bytes(), {.classes = options.classes}, &findings);
  if (!data.ok()) {
    return absl::Status(data.status().code(), StrCat(options.data, ": ", data.status().message()));
  }
  absl::StatusOr<std::string> label_config = ReadText(options.label_config);
  if (!label_config.ok()) return label_config.status();
  if (label_config->empty()) *label_config = label_studio::GenerateLabelConfig(data->classes);
  absl::StatusOr<std::string> tasks =
      dataset::WriteLabelStudioTasks(*data,
                                     {.label_config = *label_config,
                                      .outputs = options.outputs,
                                      .predictions = options.predictions,
                                      .model_version = options.model_version,
                                      .image_prefix = options.image_prefix},
                                     &findings);
  if (!tasks.ok()) return tasks.status();
  if (absl::Status status = files::MakeFolder(options.out); !status.ok()) return status;
  const std::string path = options.out + "/tasks.json";
  absl::Status status = files::WriteFile(options.out + "/label_config.xml", *label_config);
  if (status.ok()) status = files::WriteFile(path, *tasks);
  if (!status.ok()) return status;
  PrintFindings(findings);
  if (options.json) {
    PrintJsonLine({{"file", text::ToUtf8(path)},
                   {"tasks", data->samples.size()},
                   {"classes", data->classes.size()}});
    return absl::OkStatus();
  }
  std::cout << path << ": " << data->samples.size() << " tasks, " << data->classes.size()
            << " classes\n";
  return absl::OkStatus();
}

}  // namespace

absl::Status RunImport(int argc, const char* const* argv) {
  Options options;
  serving::FlagTable flags("duet import",
                           "Writes COCO's annotations as tasks that Label Studio imports, with an "
                           "annotation or a prediction each. Exit code 0: written; 1: it could not "
                           "be; 2: asked wrongly, or a file isn't what it has to be.\n\n"
                           "Example: duet import --data=coco.json --out=tasks");
  AddFlags(&options, &flags);
  return ParseAndRun(flags, argc, argv, [&] { return Import(options); });
}

}  // namespace cli
