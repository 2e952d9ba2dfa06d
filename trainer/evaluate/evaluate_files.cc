#include "trainer/evaluate/evaluate_files.h"

#include <boost/json/array.hpp>
#include <string_view>

#include "dataset/annotations_reader.h"
#include "dataset/coco_reader.h"
#include "dataset/findings.h"
#include "files/atomic_file.h"
#include "files/mapped_file.h"
#include "text/str_cat.h"
#include "trainer/evaluate/coco_results.h"
#include "trainer/evaluate/evaluation_report.h"
#include "trainer/evaluate/served_detections.h"
#include "trainer/samples/dataset_source.h"

namespace trainer {
namespace {

using text::StrCat;

constexpr std::size_t kWorstImages = 10;

absl::Status Naming(std::string_view name, const absl::Status& status) {
  return absl::Status(status.code(), StrCat(name, ": ", status.message()));
}

absl::StatusOr<DetectionsByImage> ReadDetections(const std::string& path,
                                                 std::string_view annotations,
                                                 const dataset::Dataset& truth) {
  const auto file = files::MappedFile::Open(path);
  if (!file.ok()) return file.status();
  auto detections = ReadCocoResults((*file)->bytes(), annotations, truth);
  if (!detections.ok()) return Naming(path, detections.status());
  return detections;
}

}  // namespace

absl::StatusOr<boost::json::object> EvaluateFiles(const EvaluationFiles& files,
                                                  const std::string& precision) {
  if (files.checkpoint.empty() == files.detections.empty()) {
    return absl::InvalidArgumentError(
        "--data needs either --checkpoint, to be scored, or --detections");
  }
  if (!files.checkpoint.empty() && files.images.empty())
    return absl::InvalidArgumentError("--checkpoint needs --images, the folder of the images");
  if (files.checkpoint.empty() && !files.found.empty())
    return absl::InvalidArgumentError("--found needs --checkpoint, which finds something");
  const auto annotations = files::MappedFile::Open(files.annotations);
  if (!annotations.ok()) return annotations.status();
  dataset::Findings findings;
  const absl::StatusOr<dataset::Dataset> truth =
      files.checkpoint.empty()
          ? dataset::ReadCoco((*annotations)->bytes(), {.boxes_as_written = true}, &findings)
          : dataset::ReadAnnotations((*annotations)->bytes(), {}, &findings);
  if (!truth.ok()) return Naming(files.annotations, truth.status());

  const absl::StatusOr<DetectionsByImage> detections =
      files.checkpoint.empty()
          ? ReadDetections(files.detections, (*annotations)->bytes(), *truth)
          : DetectAsServed({files.checkpoint, precision},
                           DatasetSource(*truth, files.images, /*masks=*/false));
  if (!detections.ok()) return detections.status();
  if (!files.found.empty()) {
    const absl::StatusOr<std::string> results =
        WriteCocoResults(*detections, (*annotations)->bytes(), *truth);
    if (!results.ok()) return Naming(files.annotations, results.status());
    if (absl::Status status = files::WriteFile(files.found, *results); !status.ok()) return status;
  }
  boost::json::object report = EvaluationReport(*truth, *detections, kWorstImages);
  boost::json::array& left_out = (report["left_out"] = boost::json::array()).get_array();
  for (const std::string& line : findings.Lines()) left_out.emplace_back(line);
  return report;
}

}  // namespace trainer
