#include "trainer/gate/compare_files.h"

#include <absl/strings/str_join.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "dataset/annotations_reader.h"
#include "dataset/findings.h"
#include "files/mapped_file.h"
#include "text/str_cat.h"
#include "trainer/evaluate/coco_results.h"
#include "trainer/evaluate/served_detections.h"
#include "trainer/gate/compare_detections.h"
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
  std::vector<std::string> classes;  // of a checkpoint
};

absl::StatusOr<Answers> AnswersOf(const std::string& checkpoint, const std::string& results,
                                  const std::string& precision, const DatasetSource& source,
                                  std::string_view annotations) {
  Answers answers;
  if (!checkpoint.empty()) {
    auto detector = ServedDetector::Load({checkpoint, precision});
    if (!detector.ok()) return detector.status();
    answers.classes = detector->classes();
    absl::StatusOr<DetectionsByImage> found = detector->Detect(source);
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

// Those of `names` that are in `in` but not in `without`.
json::array Names(const std::vector<std::string>& names, const std::vector<std::string>& in,
                  const std::vector<std::string>& without) {
  const auto has = [](const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  json::array result;
  for (const std::string& name : names) {
    if (has(in, name) && !has(without, name)) result.emplace_back(name);
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

absl::StatusOr<json::object> CompareFiles(const ComparedFiles& files, const std::string& precision,
                                          std::uint64_t seed) {
  if (absl::Status status = Check(files); !status.ok()) return status;
  const auto annotations = files::MappedFile::Open(files.annotations);
  if (!annotations.ok()) return annotations.status();
  dataset::Findings findings;
  absl::StatusOr<dataset::Dataset> truth =
      dataset::ReadAnnotations((*annotations)->bytes(), {}, &findings);
  if (!truth.ok()) return Naming(files.annotations, truth.status());
  const DatasetSource source(*std::move(truth), files.images, /*masks=*/false);

  const auto answers_of = [&](const std::string& checkpoint, const std::string& results) {
    return AnswersOf(checkpoint, results, precision, source, (*annotations)->bytes());
  };
  const auto of_new = answers_of(files.new_checkpoint, files.new_detections);
  if (!of_new.ok()) return of_new.status();
  const bool same = SameFile(files.old_checkpoint, files.new_checkpoint);
  const auto of_old = same ? of_new : answers_of(files.old_checkpoint, files.old_detections);
  if (!of_old.ok()) return of_old.status();

  const std::vector<std::string>& classes = source.classes();
  json::object report = ToJson(
      CompareDetections(source.dataset(), of_old->detections, of_new->detections, {.seed = seed}));
  // A class that is gone from the data, too, has nothing to fall by: so it is at least named.
  const bool lists = !files.old_checkpoint.empty() && !files.new_checkpoint.empty();
  report["new_classes"] = lists ? Names(classes, of_new->classes, of_old->classes) : json::array();
  report["removed_classes"] =
      lists ? Names(of_old->classes, of_old->classes, of_new->classes) : json::array();
  if (const json::array& removed = report["removed_classes"].as_array(); !removed.empty()) {
    report["reason"] = StrCat(std::string_view(report["reason"].as_string()),
                              " The new model no longer knows ", NamesOf(removed), ".");
  }
  json::array& left_out = (report["left_out"] = json::array()).get_array();
  for (const std::string& line : findings.Lines()) left_out.emplace_back(line);
  return report;
}

}  // namespace trainer
