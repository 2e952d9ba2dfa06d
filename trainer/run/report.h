// report.md: what a training learned from, how, and how well, for people.
#ifndef DUET_TRAINER_RUN_REPORT_H_
#define DUET_TRAINER_RUN_REPORT_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trainer/run/training_data.h"

namespace trainer {

struct ClassScore {
  std::optional<double> ap;  // none without an object
  std::optional<double> ap50;
};

struct ReportedScores {
  std::optional<double> ap;  // none without an object
  std::optional<double> ap50;
  std::optional<double> ap75;
  std::vector<ClassScore> by_class;
};

struct WorstImage {
  std::string link;  // relative to the report
  std::string name;  // what people call the image
  int missed = 0;
  int false_alarms = 0;
};

struct Report {
  std::string model;  // what was trained
  std::vector<std::string> classes;
  std::vector<ClassCount> train;       // one a class
  std::vector<ClassCount> validation;  // one a class
  std::size_t train_images = 0;
  std::size_t validation_images = 0;
  std::string revision;
  std::vector<std::string> findings;
  std::vector<std::pair<std::string, std::string>> recipe;
  std::string end;                            // a sentence: how it ended
  std::string measured = "best.pth";          // whose scores these are
  std::optional<ReportedScores> scores;       // of it; none without validation images
  std::optional<ReportedScores> mask_scores;  // the same of masks, if it has any
  std::vector<WorstImage> worst;
};

// The text as Markdown shows it: nothing in it is Markdown or HTML, nor ends a table's cell.
std::string PlainMarkdown(std::string_view text);

// Markdown. Names of classes and images are shown as they are, whatever characters they have.
std::string WriteReport(const Report& report);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_REPORT_H_
