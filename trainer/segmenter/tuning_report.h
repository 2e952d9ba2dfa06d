// What a segmenter's training tells: its scores as JSON, as a sentence and in report.md.
#ifndef DUET_TRAINER_SEGMENTER_TUNING_REPORT_H_
#define DUET_TRAINER_SEGMENTER_TUNING_REPORT_H_

#include <boost/json/object.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trainer/segmenter/click_scores.h"

namespace trainer {

// {"objects": 12, "iou": 0.87, "iou_from_box": 0.9, "iou_after_clicks": [0.8, …]}
boost::json::object ToJson(const ClickScores& scores);
// None if it isn't ToJson's.
std::optional<ClickScores> ClickScoresFromJson(const boost::json::object& object);

// "IoU 0.900 from a box, 0.800 after 1 click, 0.850 after 3"
std::string Sentence(const ClickScores& scores);

struct TuningReportParts {
  std::string model;
  std::string revision;  // of the data
  std::size_t train_images = 0, train_objects = 0;
  std::size_t validation_images = 0, validation_objects = 0;
  std::vector<std::string> findings;
  std::vector<std::pair<std::string, std::string>> recipe;
  std::string end;                           // a sentence: how it ended
  std::string measured;                      // which model `after` is of: "best.pth"
  std::optional<ClickScores> before, after;  // none without validation images
};

// Markdown.
std::string WriteTuningReport(const TuningReportParts& report);

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_TUNING_REPORT_H_
