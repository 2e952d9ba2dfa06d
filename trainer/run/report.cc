#include "trainer/run/report.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <string_view>

namespace trainer {
namespace {

std::string Number(const std::optional<double>& value) {
  return value.has_value() ? absl::StrFormat("%.3f", *value) : "none";
}

std::string Counted(const ClassCount& count) {
  return absl::StrCat(count.objects, " in ", count.images);
}

std::string DataText(const Report& report) {
  std::string text =
      absl::StrCat("## Data\n\n", report.train_images, " images to learn from, ",
                   report.validation_images, " to measure with: revision `", report.revision,
                   "` in `data/`. Objects, and in how many images:\n\n",
                   "| class | training | validation |\n|---|---|---|\n");
  for (std::size_t i = 0; i < report.classes.size(); ++i) {
    absl::StrAppend(&text, "| ", PlainMarkdown(report.classes[i]), " | ", Counted(report.train[i]),
                    " | ", Counted(report.validation[i]), " |\n");
  }
  absl::StrAppend(&text, "\n");
  if (report.findings.empty()) return text + "Everything was used.\n\n";
  absl::StrAppend(&text, "Left out or changed:\n\n");
  for (const std::string& line : report.findings)
    absl::StrAppend(&text, "* ", PlainMarkdown(line), "\n");
  return text + "\n";
}

std::string TableOf(const Report& report, const char* what, const ReportedScores& scores) {
  std::string text =
      absl::StrCat(what, " of `", report.measured, "` on the validation images: **AP ",
                   Number(scores.ap), "**, AP50 ", Number(scores.ap50), ", AP75 ",
                   Number(scores.ap75), " (COCO's).\n\n| class | AP | AP50 |\n|---|---|---|\n");
  for (std::size_t i = 0; i < report.classes.size(); ++i) {
    absl::StrAppend(&text, "| ", PlainMarkdown(report.classes[i]), " | ",
                    Number(scores.by_class[i].ap), " | ", Number(scores.by_class[i].ap50), " |\n");
  }
  return text + "\n";
}

std::string ScoresText(const Report& report) {
  if (!report.scores.has_value()) {
    return "Nothing was measured, since there are no validation images: `best.pth` is the last "
           "state.\n\n";
  }
  std::string text = TableOf(report, "Boxes", *report.scores);
  if (report.mask_scores) text += TableOf(report, "Masks", *report.mask_scores);
  return text;
}

std::string WorstText(const Report& report) {
  if (report.worst.empty()) return "";
  std::string text =
      "## Worst images\n\nAt a score of 0.5; left: annotated, right: found. Look for annotations "
      "that are missing or wrong before you blame the model.\n\n";
  for (const WorstImage& image : report.worst) {
    absl::StrAppend(&text, PlainMarkdown(image.name), ": ", image.missed, " missed, ",
                    image.false_alarms, " false alarms\n\n![", PlainMarkdown(image.name), "](",
                    image.link, ")\n\n");
  }
  return text;
}

}  // namespace

std::string PlainMarkdown(std::string_view text) {
  constexpr std::string_view kSpecial = "\\`*_[]<>#|~&";
  std::string out;
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == '\t') {
      out += ' ';
      continue;
    }
    if (kSpecial.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string WriteReport(const Report& report) {
  std::string text =
      absl::StrCat("# Training of ", PlainMarkdown(report.model), "\n\n", PlainMarkdown(report.end),
                   "\n\n", ScoresText(report), "![losses, learning rate and AP](curves.svg)\n\n",
                   DataText(report), "## Recipe\n\n| | |\n|---|---|\n");
  for (const auto& [name, value] : report.recipe) {
    absl::StrAppend(&text, "| ", PlainMarkdown(name), " | ", PlainMarkdown(value), " |\n");
  }
  absl::StrAppend(&text, "\n", WorstText(report));
  return text;
}

}  // namespace trainer
