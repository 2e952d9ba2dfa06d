// duet export: what people annotated in Label Studio, as COCO.
#include <absl/container/flat_hash_set.h>

#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/input_files.h"
#include "cli/json_line.h"
#include "dataset/coco_writer.h"
#include "dataset/image_files.h"
#include "dataset/label_studio_reader.h"
#include "dataset/sample_image.h"
#include "files/atomic_file.h"
#include "files/folder.h"
#include "files/mapped_file.h"
#include "serving/flags.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace cli {
namespace {

using text::StrCat;

struct Options {
  std::string data;
  std::string label_config;
  std::string images;
  std::string out;
  std::string masks = "rle";
  std::vector<std::string> classes;
  std::string unlabeled_class;
  double min_join_iou = 0.5;
  bool json = false;
};

void AddFlags(Options* options, serving::FlagTable* flags) {
  flags->Required("data", &options->data,
                  "Label Studio's export, JSON or JSON-MIN, or what its API says of tasks.");
  flags->Required("out", &options->out,
                  "A folder; made if it is missing. annotations.json is written there, and the "
                  "images into its folder images.");
  flags->Add("label_config", &options->label_config,
             "The project's label config, XML: for aliases, for the order of the classes, and for "
             "tasks with several images.");
  flags->Add(
      "images", &options->images,
      "The folder that the tasks' images lie in, such as Label Studio's media/upload. Empty: "
      "only annotations are written.");
  flags->Add("masks", &options->masks,
             "rle: the very pixels; polygons: outlines without holes, for tools that read no "
             "others.",
             serving::OneOf({"rle", "polygons"}));
  flags->Add("classes", &options->classes,
             "Which classes, in which order; empty: those of the label config, then others by "
             "name.",
             CheckNames);
  flags->Add("unlabeled_class", &options->unlabeled_class,
             "The class of regions without a label; empty: they are left out.");
  flags->Add("min_join_iou", &options->min_join_iou,
             "A rectangle and a mask of one label are one object if the IoU of their boxes is at "
             "least this; 2: never.");
  flags->Add("json", &options->json, "What was written, as a JSON object.");
}

// Copies the images, and gives the samples their new names. Samples without an image are removed.
absl::Status CopyImages(const Options& options, dataset::Dataset* data,
                        dataset::Findings* findings) {
  const std::string folder = options.out + "/images";
  if (absl::Status status = files::MakeFolder(folder); !status.ok()) return status;
  absl::flat_hash_set<std::string> names;
  std::vector<dataset::Sample> kept;
  for (dataset::Sample& sample : data->samples) {
    const absl::StatusOr<std::string> bytes = dataset::ReadImageFile(options.images, sample.image);
    if (!dataset::AcceptImage(bytes, &sample, findings)) continue;
    std::string name = dataset::FileNameOf(sample.image);
    for (int n = 2; !names.insert(name).second; ++n) {
      name = StrCat(n, "-", dataset::FileNameOf(sample.image));
    }
    if (absl::Status status = files::WriteFile(StrCat(folder, "/", name), *bytes); !status.ok()) {
      return status;
    }
    sample.image = "images/" + name;
    kept.push_back(std::move(sample));
  }
  data->samples = std::move(kept);
  if (!data->samples.empty()) return absl::OkStatus();
  return absl::NotFoundError(StrCat("none of the tasks' images is below ", options.images, " (",
                                    findings->Lines().back(), ")"));
}

absl::Status Export(const Options& options) {
  auto file = files::MappedFile::Open(options.data);
  if (!file.ok()) return file.status();
  absl::StatusOr<std::string> label_config = ReadText(options.label_config);
  if (!label_config.ok()) return label_config.status();
  dataset::Findings findings;
  absl::StatusOr<dataset::Dataset> data =
      dataset::ReadLabelStudio((*file)->bytes(),
                               {.label_config = *std::move(label_config),
                                .classes = options.classes,
                                .unlabeled_class = options.unlabeled_class,
                                .min_join_iou = options.min_join_iou},
                               &findings);
  if (!data.ok()) {
    PrintFindings(findings);
    const bool is_zip = (*file)->bytes().starts_with("PK");
    return absl::Status(
        data.status().code(),
        StrCat(options.data, ": ", data.status().message(),
               is_zip
                   ? " (Label Studio's exports COCO and YOLO are such archives, but needed is its "
                     "export JSON or JSON-MIN)"
                   : ""));
  }
  if (absl::Status status = files::MakeFolder(options.out); !status.ok()) return status;
  if (!options.images.empty()) {
    absl::Status status = CopyImages(options, &*data, &findings);
    if (!status.ok()) return status;
  } else {
    for (dataset::Sample& sample : data->samples) sample.image = dataset::FileNameOf(sample.image);
  }
  const std::string coco = dataset::WriteCoco(
      *data,
      {.masks = options.masks == "rle" ? dataset::CocoMasks::kRle : dataset::CocoMasks::kPolygons},
      &findings);
  const std::string path = options.out + "/annotations.json";
  if (absl::Status status = files::WriteFile(path, coco); !status.ok()) return status;
  std::size_t objects = 0;
  for (const dataset::Sample& sample : data->samples) objects += sample.objects.size();
  PrintFindings(findings);
  if (options.json) {
    PrintJsonLine({{"file", text::ToUtf8(path)},
                   {"images", data->samples.size()},
                   {"objects", objects},
                   {"classes", data->classes.size()}});
    return absl::OkStatus();
  }
  std::cout << path << ": " << data->samples.size() << " images, " << objects << " objects, "
            << data->classes.size() << " classes\n";
  return absl::OkStatus();
}

}  // namespace

absl::Status RunExport(int argc, const char* const* argv) {
  Options options;
  serving::FlagTable flags(
      "duet export",
      "Writes what people annotated in Label Studio as COCO: the newest "
      "annotation of each task, one entry an object. Exit code 0: written; 1: it could not be; 2: "
      "asked wrongly, or a file isn't what it has to be.\n\nExample: duet export "
      "--data=project-1.json --label_config=config.xml --images=media --out=coco");
  AddFlags(&options, &flags);
  return ParseAndRun(flags, argc, argv, [&] { return Export(options); });
}

}  // namespace cli
