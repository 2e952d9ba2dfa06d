#include "trainer/segmenter/tuning_report.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <boost/json.hpp>
#include <cstdint>

#include "trainer/run/report.h"

namespace trainer {
namespace {

std::string ScoresText(const TuningReportParts& report) {
  const ClickScores &before = *report.before, &after = *report.after;
  std::string text =
      absl::StrCat("| mean IoU | before | `", report.measured, "` |\n|---|---|---|\n");
  const auto row = [&](const std::string& what, double was, double is) {
    absl::StrAppendFormat(&text, "| %s | %.3f | %.3f |\n", what, was, is);
  };
  row("from a box", before.box, after.box);
  for (std::size_t i = 0; i < kScoredClicks; ++i) {
    row(absl::StrCat("after ", i + 1, i == 0 ? " click" : " clicks"), before.clicks[i],
        after.clicks[i]);
  }
  return text + "\n";
}

}  // namespace

boost::json::object ToJson(const ClickScores& scores) {
  boost::json::array clicks;
  for (const double iou : scores.clicks) clicks.push_back(iou);
  return {{"objects", scores.objects},
          {"iou", scores.Mean()},
          {"iou_from_box", scores.box},
          {"iou_after_clicks", std::move(clicks)}};
}

std::optional<ClickScores> ClickScoresFromJson(const boost::json::object& object) {
  const boost::json::value* const objects = object.if_contains("objects");
  const boost::json::value* const box = object.if_contains("iou_from_box");
  const boost::json::value* const clicks = object.if_contains("iou_after_clicks");
  if (objects == nullptr || !objects->is_number() || box == nullptr || !box->is_number() ||
      clicks == nullptr || !clicks->is_array() || clicks->get_array().size() != kScoredClicks) {
    return std::nullopt;
  }
  boost::system::error_code error;
  ClickScores scores{.box = box->to_number<double>(error),
                     .objects = objects->to_number<std::size_t>(error)};
  for (std::size_t i = 0; i < kScoredClicks && !error; ++i) {
    scores.clicks[i] = clicks->get_array()[i].to_number<double>(error);
  }
  return error ? std::nullopt : std::optional(scores);
}

std::string Sentence(const ClickScores& scores) {
  return absl::StrFormat("IoU %.3f from a box, %.3f after 1 click, %.3f after 3", scores.box,
                         scores.clicks[0], scores.clicks[2]);
}

std::string WriteTuningReport(const TuningReportParts& report) {
  std::string text = absl::StrCat(
      "# ", report.model, ", its decoder tuned\n\n", report.end, "\n\n## Result\n\n",
      report.before.has_value() && report.after.has_value()
          ? ScoresText(report)
          : "Nothing was measured: there are no validation images with masks.\n\n",
      "## Data\n\n", report.train_images, " images with ", report.train_objects,
      " objects to learn from, ", report.validation_images, " with ", report.validation_objects,
      " to measure with: revision `", report.revision, "` in `data/`.\n\n");
  if (!report.findings.empty()) absl::StrAppend(&text, "Left out or changed:\n\n");
  for (const std::string& line : report.findings) {
    absl::StrAppend(&text, "* ", PlainMarkdown(line), "\n");
  }
  absl::StrAppend(&text, report.findings.empty() ? "" : "\n", "## Recipe\n\n| | |\n|---|---|\n");
  for (const auto& [name, value] : report.recipe) {
    absl::StrAppend(&text, "| ", PlainMarkdown(name), " | ", PlainMarkdown(value), " |\n");
  }
  return text;
}

}  // namespace trainer
