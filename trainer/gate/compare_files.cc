#include "trainer/gate/compare_files.h"

#include <absl/strings/str_join.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "dataset/annotations_reader.h"
#include "dataset/findings.h"
#include "files/mapped_file.h"
#include "text/str_cat.h"
#include "trainer/evaluate/coco_results.h"
#include "trainer/evaluate/served_detections.h"
#include "trainer/gate/compare_detections.h"
#include "trainer/samples/class_match.h"
#include "trainer/samples/dataset_source.h"

namespace trainer {
namespace {

namespace json = boost::json;
using text::StrCat;

absl::Status Naming(std::string_view name, const absl::Status& status) {
  return absl::Status(status.code(), StrCat(name, ": ", status.message()));
}

absl::Status Check(const ComparedFiles& files) {
  if (files.annotations.empty()) return absl::InvalidArgumentError("--data is missing");
  if (files.new_checkpoint.empty() == files.new_detections.empty())
    return absl::InvalidArgumentError("needs either --new, a checkpoint, or --new_detections");
  if (!files.old_checkpoint.empty() && !files.old_detections.empty())
    return absl::InvalidArgumentError("--old and --old_detections are two models; only one is old");
  if (files.images.empty() && !(files.new_checkpoint.empty() && files.old_checkpoint.empty()))
    return absl::InvalidArgumentError("a checkpoint needs --images, the folder of the images");
  return absl::OkStatus();
}

struct Answers {
  DetectionsByImage detections;
  // Of a checkpoint: its classes, and those of the data set that each stands for.
  std::vector<std::string> classes;
  std::vector<std::vector<int>> stand_for;
};

absl::StatusOr<Answers> AnswersOf(const std::string& checkpoint, const std::string& results,
                                  const CompareOptions& options, const DatasetSource& source,
                                  const ClassMatch& match, std::string_view annotations,
                                  const std::function<void()>& on_image) {
  Answers answers;
  if (!checkpoint.empty()) {
    auto detector = ServedDetector::Load({checkpoint, options.precision});
    if (!detector.ok()) return detector.status();
    answers.classes = detector->classes();
    answers.stand_for = match.ClassesOf(answers.classes, source.classes());
    absl::StatusOr<DetectionsByImage> found = detector->Detect(source, match, on_image);
    if (!found.ok()) return found.status();
    answers.detections = *std::move(found);
  } else if (!results.empty()) {
    const auto file = files::MappedFile::Open(results);
    if (!file.ok()) return file.status();
    absl::StatusOr<DetectionsByImage> read =
        ReadCocoResults((*file)->bytes(), annotations, source.dataset());
    if (!read.ok()) return Naming(results, read.status());
    answers.detections = *std::move(read);
  } else {
    answers.detections.resize(source.size());
  }
  return answers;
}

// The data set's classes that some class of the model stands for.
std::set<int> Known(const Answers& model) {
  std::set<int> known;
  for (const std::vector<int>& classes : model.stand_for)
    known.insert(classes.begin(), classes.end());
  return known;
}

// The data set's classes that only the new model knows.
json::array NewClasses(const std::vector<std::string>& classes, const Answers& of_old,
                       const Answers& of_new) {
  json::array result;
  const std::set<int> before = Known(of_old);
  for (const int index : Known(of_new)) {
    if (!before.contains(index)) result.emplace_back(classes[static_cast<std::size_t>(index)]);
  }
  return result;
}

// The old model's classes that the new one doesn't know, neither by name nor as a label.
json::array RemovedClasses(const Answers& of_old, const Answers& of_new, bool by_labels) {
  json::array result;
  const std::set<int> now = Known(of_new);
  for (std::size_t i = 0; i < of_old.classes.size(); ++i) {
    const std::string& name = of_old.classes[i];
    const std::vector<int>& labels = of_old.stand_for[i];
    if (by_labels && labels.empty()) continue;
    const auto& names = of_new.classes;
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    if (std::any_of(labels.begin(), labels.end(), [&](int label) { return now.contains(label); }))
      continue;
    result.emplace_back(name);
  }
  return result;
}

// "cat, dog"
std::string NamesOf(const json::array& names) {
  return absl::StrJoin(names, ", ", [](std::string* out, const json::value& name) {
    out->append(name.as_string());
  });
}

// Whether both are there and have the same bytes.
bool SameFile(const std::string& one, const std::string& other) {
  if (one.empty() || other.empty()) return false;
  const auto a = files::MappedFile::Open(one);
  const auto b = files::MappedFile::Open(other);
  return a.ok() && b.ok() && (*a)->bytes() == (*b)->bytes();
}

}  // namespace

absl::StatusOr<json::object> CompareFiles(const ComparedFiles& files,
                                          const CompareOptions& options) {
  if (absl::Status status = Check(files); !status.ok()) return status;
  const auto annotations = files::MappedFile::Open(files.annotations);
  if (!annotations.ok()) return annotations.status();
  dataset::Findings findings;
  absl::StatusOr<dataset::Dataset> truth =
      dataset::ReadAnnotations((*annotations)->bytes(), {}, &findings);
  if (!truth.ok()) return Naming(files.annotations, truth.status());
  const DatasetSource source(*std::move(truth), files.images, /*masks=*/false);
  const absl::StatusOr<ClassMatch> match = ClassMatch::Read(files.label_config);
  if (!match.ok()) return Naming("--label_config", match.status());

  const bool same = SameFile(files.old_checkpoint, files.new_checkpoint);
  const int models = same ? 1 : !files.old_checkpoint.empty() + !files.new_checkpoint.empty();
  std::size_t done = 0;
  const auto on_image = [&] {
    ++done;
    if (options.progress) options.progress(done, source.size() * static_cast<std::size_t>(models));
  };
  const auto answers_of = [&](const std::string& checkpoint, const std::string& results) {
    return AnswersOf(checkpoint, results, options, source, *match, (*annotations)->bytes(),
                     on_image);
  };
  const auto of_new = answers_of(files.new_checkpoint, files.new_detections);
  if (!of_new.ok()) return of_new.status();
  const auto of_old = same ? of_new : answers_of(files.old_checkpoint, files.old_detections);
  if (!of_old.ok()) return of_old.status();

  json::object report = ToJson(CompareDetections(
      source.dataset(), of_old->detections, of_new->detections, {.seed = options.seed},
      {.looks = options.looks, .annotated = options.annotated}));
  // A class that is gone from the data, too, has nothing to fall by: so it is at least named.
  const bool lists = !files.old_checkpoint.empty() && !files.new_checkpoint.empty();
  report["new_classes"] = lists ? NewClasses(source.classes(), *of_old, *of_new) : json::array();
  report["removed_classes"] =
      lists ? RemovedClasses(*of_old, *of_new, match->by_labels()) : json::array();
  if (const json::array& removed = report["removed_classes"].as_array(); !removed.empty()) {
    report["reason"] = StrCat(std::string_view(report["reason"].as_string()),
                              " The new model no longer knows ", NamesOf(removed), ".");
  }
  json::array& left_out = (report["left_out"] = json::array()).get_array();
  for (const std::string& line : findings.Lines()) left_out.emplace_back(line);
  return report;
}

}  // namespace trainer
