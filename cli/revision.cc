// duet revision: a data set, frozen.
#include "dataset/revision.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/input_files.h"
#include "cli/json_line.h"
#include "dataset/annotations_reader.h"
#include "dataset/image_files.h"
#include "files/mapped_file.h"
#include "serving/flags.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace cli {
namespace {

namespace json = boost::json;
using text::StrCat;

struct Options {
  std::string out;
  std::string data;
  std::string images;
  std::string label_config;
  std::vector<std::string> classes;
  std::string unlabeled_class;
  double val_share = 0.2;
  std::string verify;
  bool json = false;
};

void AddFlags(Options* options, serving::FlagTable* flags) {
  flags->Required("out", &options->out,
                  "The folder of the revisions; made if it is missing. Its revisions share their "
                  "images, and an image that one of them knows keeps its side.");
  flags->Add("data", &options->data,
             "The annotations: COCO, Label Studio's export, JSON or JSON-MIN, or what its API says "
             "of tasks.");
  flags->Add("images", &options->images,
             "The folder that the images lie in, such as Label Studio's media/upload.");
  flags->Add("label_config", &options->label_config,
             "Of Label Studio's data: the project's label config, XML, for aliases and for the "
             "order of the classes.");
  flags->Add("classes", &options->classes, "Which classes, in which order; empty: all.",
             CheckNames);
  flags->Add("unlabeled_class", &options->unlabeled_class,
             "Of Label Studio's data: the class of regions without a label; empty: they are left "
             "out.");
  flags->Add("val_share", &options->val_share,
             "The share of each class's new images that a model is measured with.",
             serving::InRange(0.0, 1.0));
  flags->Add(
      "verify", &options->verify,
      "Instead of making one: the id of a revision whose files are all hashed and compared.");
  flags->Add("json", &options->json, "The revision's id and its counts, as a JSON object.");
}

// Objects of each class and images on one side.
struct Counts {
  std::vector<std::size_t> objects;
  std::size_t images = 0;
  std::size_t empty_images = 0;
};

Counts Count(const dataset::Revision& revision, dataset::Side side) {
  Counts counts{.objects = std::vector<std::size_t>(revision.dataset.classes.size())};
  for (std::size_t i = 0; i < revision.sides.size(); ++i) {
    if (revision.sides[i] != side) continue;
    const std::vector<dataset::Object>& objects = revision.dataset.samples[i].objects;
    ++counts.images;
    counts.empty_images += objects.empty() ? 1 : 0;
    for (const dataset::Object& object : objects) {
      counts.objects[static_cast<std::size_t>(object.class_index)] += object.crowd ? 0 : 1;
    }
  }
  return counts;
}

json::object ToJson(const Counts& counts, const std::vector<std::string>& classes) {
  json::object objects;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    objects[text::ToUtf8(classes[i])] = counts.objects[i];
  }
  return {{"images", counts.images},
          {"without_objects", counts.empty_images},
          {"objects", std::move(objects)}};
}

void PrintAsJson(const dataset::Revision& revision) {
  const std::vector<std::string>& classes = revision.dataset.classes;
  PrintJsonLine({{"revision", revision.id},
                 {"train", ToJson(Count(revision, dataset::Side::kTrain), classes)},
                 {"validation", ToJson(Count(revision, dataset::Side::kValidation), classes)}});
}

void Print(const dataset::Revision& revision, std::string_view state) {
  const Counts train = Count(revision, dataset::Side::kTrain);
  const Counts validation = Count(revision, dataset::Side::kValidation);
  const std::vector<std::string>& classes = revision.dataset.classes;
  std::size_t width = std::string_view("without objects").size();
  for (const std::string& name : classes) width = std::max(width, name.size());
  const auto row = [width](std::string_view name, const auto& left, const auto& right) {
    std::cout << std::left << std::setw(static_cast<int>(width)) << name << std::right
              << std::setw(10) << left << std::setw(12) << right << "\n";
  };
  std::cout << "revision " << revision.id << state << "\n";
  row("", "train", "validation");
  row("images", train.images, validation.images);
  row("without objects", train.empty_images, validation.empty_images);
  for (std::size_t i = 0; i < classes.size(); ++i) {
    row(classes[i], train.objects[i], validation.objects[i]);
  }
}

absl::Status Verify(const Options& options) {
  if (!options.data.empty() || !options.images.empty()) {
    return absl::InvalidArgumentError(
        "--verify looks at a revision that is there; --data and --images are for a new one");
  }
  const absl::StatusOr<dataset::Revision> revision =
      dataset::ReadRevision(options.out, options.verify);
  if (!revision.ok()) return revision.status();
  if (options.json) {
    PrintAsJson(*revision);
  } else {
    Print(*revision, ": nothing has changed");
  }
  return absl::OkStatus();
}

absl::StatusOr<dataset::Dataset> ReadData(const Options& options, dataset::Findings* findings) {
  auto file = files::MappedFile::Open(options.data);
  if (!file.ok()) return file.status();
  absl::StatusOr<std::string> label_config = ReadText(options.label_config);
  if (!label_config.ok()) return label_config.status();
  absl::StatusOr<dataset::Dataset> data =
      dataset::ReadAnnotations((*file)->bytes(),
                               {.label_config = *std::move(label_config),
                                .classes = options.classes,
                                .unlabeled_class = options.unlabeled_class},
                               findings);
  if (data.ok()) return data;
  return absl::Status(data.status().code(), StrCat(options.data, ": ", data.status().message()));
}

absl::Status Freeze(const Options& options, dataset::Findings* findings) {
  std::error_code error;
  if (!std::filesystem::is_directory(options.images, error)) {
    return absl::NotFoundError(StrCat("--images=", options.images, ": there is no such folder"));
  }
  const absl::StatusOr<dataset::Dataset> data = ReadData(options, findings);
  if (!data.ok()) return data.status();
  absl::StatusOr<dataset::Sides> former = dataset::ReadSides(options.out);
  if (!former.ok()) return former.status();
  const absl::StatusOr<dataset::Revision> revision = dataset::WriteRevision(
      *data,
      [&](const dataset::Sample& sample) {
        return dataset::ReadWholeImage(options.images, sample.image);
      },
      {.validation_share = options.val_share, .former = *std::move(former)}, options.out, findings);
  if (!revision.ok()) return revision.status();
  if (options.json) {
    PrintAsJson(*revision);
  } else {
    Print(*revision, StrCat(" in ", options.out));
  }
  return absl::OkStatus();
}

absl::Status Run(const Options& options) {
  if (!options.verify.empty()) return Verify(options);
  if (options.data.empty() || options.images.empty()) {
    return absl::InvalidArgumentError(
        "a new revision needs --data=FILE and --images=DIR; one that is there --verify=ID");
  }
  dataset::Findings findings;
  const absl::Status status = Freeze(options, &findings);
  PrintFindings(findings);
  return status;
}

}  // namespace

absl::Status RunRevision(int argc, const char* const* argv) {
  Options options;
  serving::FlagTable flags(
      "duet revision",
      "Freezes annotated images, split into training and validation, so that "
      "a training can be repeated; or shows that they are unchanged. Exit code 0: frozen, or "
      "unchanged; 1: it could not be frozen, or has changed; 2: asked wrongly, or a file isn't "
      "what it has to be.\n\nExample: duet "
      "revision --data=project-1.json --images=media --out=revisions");
  AddFlags(&options, &flags);
  return ParseAndRun(flags, argc, argv, [&] { return Run(options); });
}

}  // namespace cli
