#include "trainer/run/final_report.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/time.h>

#include <algorithm>
#include <filesystem>
#include <opencv2/imgcodecs.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "dataset/findings.h"
#include "files/atomic_file.h"
#include "trainer/evaluate/coco_scores.h"
#include "trainer/evaluate/mistakes.h"
#include "trainer/evaluate/served_detections.h"
#include "trainer/run/comparison.h"
#include "trainer/run/curves.h"
#include "trainer/run/display.h"
#include "trainer/run/report.h"
#include "trainer/samples/dataset_source.h"

namespace trainer {
namespace {

constexpr std::size_t kWorst = 10;
constexpr double kServedThreshold = 0.5;  // the detector's default

std::vector<std::pair<std::string, std::string>> RecipeRows(const FinalReport& report) {
  const TrainingPlan& plan = report.plan;
  return {{"from", std::filesystem::path(report.from).filename()},
          {"epochs", absl::StrCat(plan.epochs, ", the last ", plan.plain_epochs,
                                  " without mosaic and mixup")},
          {"steps", absl::StrCat(plan.steps(), ", ", plan.batch, " images each")},
          {"accumulation", absl::StrCat(report.options.accumulation)},
          {"learning rate",
           absl::StrCat(plan.learning_rate, ", after ", plan.warmup_steps, " steps of warm-up")},
          {"learning rate of new classes", absl::StrCat(plan.new_class_learning_rate)},
          {"frozen stages", absl::StrCat(plan.frozen_stages)},
          {"input size", absl::StrCat(report.side)},
          {"precision", report.options.precision},
          {"seed", absl::StrCat(report.options.seed)},
          {"time", ShortDuration(absl::Seconds(report.state.seconds))}};
}

// Draws the worst images below worst/.
absl::StatusOr<std::vector<WorstImage>> DrawWorst(const FinalReport& report,
                                                  const ImageSource& images,
                                                  const DetectionsByImage& detections) {
  std::error_code error;
  std::filesystem::create_directories(report.folder.file("worst"), error);
  if (error) return absl::ErrnoToStatus(error.value(), report.folder.file("worst"));
  const dataset::Dataset& truth = report.data.validation;
  const Mistakes mistakes = CountMistakes(truth, detections, IouType::kBoxes, kServedThreshold);
  std::vector<WorstImage> worst;
  for (const std::size_t index : WorstImages(mistakes, kWorst)) {
    const absl::StatusOr<TrainingImage> image = images.Load(index);
    if (!image.ok()) return image.status();
    std::vector<Detection> shown = detections[index];
    std::erase_if(shown, [](const Detection& one) { return one.score <= kServedThreshold; });
    std::vector<unsigned char> jpeg;
    cv::imencode(".jpg", DrawComparison(*image, shown, truth.classes), jpeg);
    WorstImage& one = worst.emplace_back();
    one.link = absl::StrFormat("worst/%02d.jpg", worst.size());
    const auto name = report.data.names.find(truth.samples[index].image);
    one.name = name == report.data.names.end() ? truth.samples[index].image : name->second;
    one.missed = mistakes.by_image[index].missed;
    one.false_alarms = mistakes.by_image[index].false_alarms;
    const absl::Status written = files::WriteFile(
        report.folder.file(one.link), {reinterpret_cast<const char*>(jpeg.data()), jpeg.size()});
    if (!written.ok()) return written;
  }
  return worst;
}

ReportedScores ScoresOf(const CocoEvaluation& evaluation) {
  ReportedScores scores{.ap = evaluation.all.ap,
                        .ap50 = evaluation.all.ap50,
                        .ap75 = evaluation.all.ap75,
                        .by_class = {}};
  for (const CocoScores& one : evaluation.by_class) scores.by_class.push_back({one.ap, one.ap50});
  return scores;
}

// Of the data, and of what happened to it and to the batches on the way.
std::vector<std::string> FindingsOf(const FinalReport& report) {
  dataset::Findings findings = report.data.findings;
  for (const auto& [name, why] : report.history.unloadable) {
    findings.Add(kUnloadable, absl::StrCat("'", name, "': ", why));
  }
  for (std::int64_t i = 0; i < report.state.skipped_batches; ++i) {
    findings.Add("batches whose losses or gradients weren't finite, skipped",
                 "in log.jsonl, as all of them");
  }
  return findings.Lines();
}

}  // namespace

absl::StatusOr<std::string> WriteFinalReport(const FinalReport& report) {
  const TrainingData& data = report.data;
  Report text{.model = report.model,
              .classes = data.train.classes,
              .train = CountClasses(data.train),
              .validation = CountClasses(data.validation),
              .train_images = data.train.samples.size(),
              .validation_images = data.validation.samples.size(),
              .revision = data.revision.id,
              .findings = FindingsOf(report),
              .recipe = RecipeRows(report),
              .end = report.end,
              .scores = {},
              .mask_scores = {},
              .worst = {}};
  std::string message = report.end;
  if (!data.validation.samples.empty()) {
    const DatasetSource images(data.validation, report.folder.file("data"), /*masks=*/false);
    text.measured = report.options.report_of + ".pth";
    const auto detections =
        DetectAsServed({.checkpoint = report.folder.file(text.measured)}, images);
    if (!detections.ok()) return detections.status();
    text.scores = ScoresOf(EvaluateCoco(data.validation, *detections, IouType::kBoxes));
    if (report.masks) {
      text.mask_scores = ScoresOf(EvaluateCoco(data.validation, *detections, IouType::kMasks));
    }
    if (report.options.report_of == "best") {
      auto worst = DrawWorst(report, images, *detections);
      if (!worst.ok()) return worst.status();
      text.worst = *std::move(worst);
    }
    if (text.scores->ap.has_value() && text.scores->ap50.has_value()) {
      absl::StrAppendFormat(&message, " AP %.3f, AP50 %.3f.", *text.scores->ap, *text.scores->ap50);
    }
  }
  absl::Status status =
      files::WriteFile(report.folder.file("curves.svg"), DrawCurves(report.history));
  if (status.ok()) status = files::WriteFile(report.folder.file("report.md"), WriteReport(text));
  if (!status.ok()) return status;
  return absl::StrCat(message, " See ", report.folder.file("report.md"));
}

}  // namespace trainer
