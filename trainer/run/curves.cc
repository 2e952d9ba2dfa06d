#include "trainer/run/curves.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

namespace trainer {
namespace {

constexpr double kWidth = 760;
constexpr double kLeft = 70;  // of a panel's plot
constexpr double kPlotWidth = kWidth - kLeft - 20;
constexpr double kPlotHeight = 170;
constexpr double kPanelHeight = 240;
constexpr const char* kColors[] = {"#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e"};

struct Line {
  std::string name;
  std::vector<std::pair<double, double>> points;  // (step, value)
  bool dots = false;
};

struct Panel {
  std::string title;
  std::vector<Line> lines;
};

struct Range {
  double least = 0;
  double most = 1;
  double step = 1;  // between two marks: 1, 2 or 5 times a power of ten
};

// From 0 to a round number that is at least `most`.
Range RangeTo(double most) {
  if (!(most > 0)) return {0, 1, 0.5};
  const double rough = most / 5;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * (1 - 1e-9)) {
      step = factor * power;
      break;
    }
  }
  return {0, step * std::ceil(most / step - 1e-9), step};
}

// Text between tags.
std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string Text(double x, double y, std::string_view anchor, std::string_view text) {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
                         Escaped(text));
}

// One panel, its top at `top`.
class PanelWriter {
 public:
  PanelWriter(const Panel& panel, double last_step, double top)
      : panel_(panel), top_(top + 40), steps_(RangeTo(last_step)) {
    double most = 0;
    for (const Line& line : panel.lines) {
      for (const auto& [step, value] : line.points) most = std::max(most, value);
    }
    values_ = RangeTo(most);
  }

  std::string Write() {
    absl::StrAppend(&out_, "<g>\n", "<text x=\"", kLeft, "\" y=\"", top_ - 14,
                    "\" font-weight=\"bold\">", Escaped(panel_.title), "</text>\n");
    Grid();
    double legend = kLeft + kPlotWidth;
    for (std::size_t i = 0; i < panel_.lines.size(); ++i) {
      Curve(panel_.lines[i], kColors[i % std::size(kColors)]);
    }
    for (std::size_t i = panel_.lines.size(); i-- > 0;) {
      const std::string& name = panel_.lines[i].name;
      if (name.empty()) continue;
      absl::StrAppend(&out_, Text(legend, top_ - 14, "end", name));
      legend -= 7.0 * static_cast<double>(name.size()) + 10;
      absl::StrAppendFormat(
          &out_, "<rect x=\"%.1f\" y=\"%.1f\" width=\"10\" height=\"10\" fill=\"%s\"/>\n",
          legend - 6, top_ - 23, kColors[i % std::size(kColors)]);
      legend -= 22;
    }
    absl::StrAppend(&out_, "</g>\n");
    return std::move(out_);
  }

 private:
  double X(double step) const {
    return kLeft + kPlotWidth * (step - steps_.least) / (steps_.most - steps_.least);
  }
  double Y(double value) const {
    return top_ + kPlotHeight * (1 - (value - values_.least) / (values_.most - values_.least));
  }

  void Grid() {
    const auto line = [&](double x1, double y1, double x2, double y2) {
      absl::StrAppendFormat(&out_,
                            "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" "
                            "stroke=\"#dddddd\"/>\n",
                            x1, y1, x2, y2);
    };
    for (int i = 0; i * values_.step <= values_.most * (1 + 1e-9); ++i) {
      const double value = i * values_.step;
      line(kLeft, Y(value), kLeft + kPlotWidth, Y(value));
      absl::StrAppend(&out_, Text(kLeft - 8, Y(value) + 4, "end", absl::StrFormat("%g", value)));
    }
    for (int i = 0; i * steps_.step <= steps_.most * (1 + 1e-9); ++i) {
      const double step = i * steps_.step;
      line(X(step), top_, X(step), top_ + kPlotHeight);
      absl::StrAppend(
          &out_, Text(X(step), top_ + kPlotHeight + 16, "middle", absl::StrFormat("%g", step)));
    }
  }

  void Curve(const Line& line, const char* color) {
    std::string points;
    for (const auto& [step, value] : line.points) {
      absl::StrAppendFormat(&points, "%.1f,%.1f ", X(step), Y(value));
      if (!line.dots) continue;
      absl::StrAppendFormat(&out_, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>\n",
                            X(step), Y(value), color);
    }
    if (line.points.size() < 2) return;
    points.pop_back();
    absl::StrAppend(&out_, "<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"", color,
                    "\" points=\"", points, "\"/>\n");
  }

  const Panel& panel_;
  const double top_;
  const Range steps_;
  Range values_;
  std::string out_;
};

void AddPoint(Line& line, double step, double value) {
  if (std::isfinite(step) && std::isfinite(value)) line.points.emplace_back(step, value);
}

std::vector<Panel> PanelsOf(const History& history) {
  Panel losses{"losses", {}};
  Panel rate{"learning rate", {{.name = "", .points = {}}}};
  for (const History::Step& step : history.steps) {
    for (const auto& [name, value] : step.losses) {
      auto line = std::find_if(losses.lines.begin(), losses.lines.end(),
                               [&](const Line& one) { return one.name == name; });
      if (line == losses.lines.end()) {
        line = losses.lines.insert(losses.lines.end(), {.name = name, .points = {}});
      }
      AddPoint(*line, step.step, value);
    }
    AddPoint(rate.lines[0], step.step, step.learning_rate);
  }
  Panel ap{
      "AP on the validation images",
      {{.name = "AP", .points = {}, .dots = true}, {.name = "AP50", .points = {}, .dots = true}}};
  for (const History::Evaluation& evaluation : history.evaluations) {
    AddPoint(ap.lines[0], evaluation.step, evaluation.ap);
    AddPoint(ap.lines[1], evaluation.step, evaluation.ap50);
  }
  std::vector<Panel> panels = {std::move(losses), std::move(rate)};
  if (!history.evaluations.empty()) panels.push_back(std::move(ap));
  return panels;
}

}  // namespace

std::string DrawCurves(const History& history) {
  const std::vector<Panel> panels = PanelsOf(history);
  double last_step = 1;
  if (!history.steps.empty()) last_step = history.steps.back().step;
  if (!history.evaluations.empty()) {
    last_step = std::max(last_step, history.evaluations.back().step);
  }
  const double height = kPanelHeight * static_cast<double>(panels.size()) + 10;
  std::string out = absl::StrFormat(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
      "viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      kWidth, height, kWidth, height);
  for (std::size_t i = 0; i < panels.size(); ++i) {
    out += PanelWriter(panels[i], last_step, kPanelHeight * static_cast<double>(i)).Write();
  }
  return out + "</svg>\n";
}

}  // namespace trainer
