#include "trainer/run/display.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "text/utf8.h"

namespace trainer {
namespace {

std::string TextOf(const boost::json::object& event, std::string_view key) {
  const boost::json::value* const value = event.if_contains(key);
  if (value == nullptr) return "";
  return value->is_string() ? std::string(value->get_string()) : boost::json::serialize(*value);
}

// "0.512", "none".
std::string ScoreText(const boost::json::object& event, std::string_view key) {
  const boost::json::value* const value = event.if_contains(key);
  boost::system::error_code error;
  const double score = value == nullptr ? 0 : value->to_number<double>(error);
  return value == nullptr || error ? "none" : absl::StrFormat("%.3f", score);
}

// A line for people; "" for what they needn't see.
std::string Sentence(const boost::json::object& event) {
  const std::string name = TextOf(event, "event");
  if (name == "evaluation" && !event.contains("message")) {
    return absl::StrCat("epoch ", TextOf(event, "epoch"), ": AP ", ScoreText(event, "ap"),
                        ", AP50 ", ScoreText(event, "ap50"),
                        TextOf(event, "best") == "true" ? ", the best so far" : "");
  }
  return TextOf(event, "message");
}

}  // namespace

std::string ShortDuration(absl::Duration duration) {
  const std::int64_t seconds = std::max<std::int64_t>(0, absl::ToInt64Seconds(duration));
  if (seconds < 60) return absl::StrCat(seconds, " s");
  if (seconds < 3600) return absl::StrFormat("%d:%02d min", seconds / 60, seconds % 60);
  return absl::StrFormat("%d:%02d h", seconds / 3600, seconds / 60 % 60);
}

std::string ProgressText(const Progress& progress) {
  std::string text = absl::StrFormat("epoch %d/%d  loss %.3f  lr %.2g", progress.epoch,
                                     progress.epochs, progress.loss, progress.learning_rate);
  if (progress.best_ap >= 0) {
    absl::StrAppendFormat(&text, "  best %s %.3f", progress.score, progress.best_ap);
  }
  absl::StrAppend(&text, "  left ", ShortDuration(progress.left));
  return text;
}

std::string BarText(const Progress& progress, int width) {
  std::string text = ProgressText(progress);
  const double done = progress.steps == 0 ? 1 : static_cast<double>(progress.step) / progress.steps;
  const std::string percent = absl::StrFormat("%3.0f%% ", 100 * done);
  const int room = std::min(width - static_cast<int>(text.size() + percent.size()) - 3, 30);
  if (room >= 5) {
    const int filled = static_cast<int>(room * done);
    text = absl::StrCat("[", std::string(filled, '='), std::string(room - filled, ' '), "] ", text);
  }
  return std::string(
      text::Utf8Prefix(percent + text, static_cast<std::size_t>(std::max(width, 0))));
}

Display::~Display() {
  if (bar_shown_) out_ << std::endl;
}

void Display::Show(const boost::json::object& event) {
  if (kind_ == DisplayKind::kJson) {
    out_ << boost::json::serialize(event) << std::endl;
    return;
  }
  if (const std::string sentence = Sentence(event); !sentence.empty()) Line(sentence);
}

void Display::Show(const Progress& progress, absl::Time now) {
  if (kind_ == DisplayKind::kJson) return;
  const bool last = progress.step == progress.steps;
  const absl::Duration pause =
      kind_ == DisplayKind::kBar ? absl::Milliseconds(200) : absl::Seconds(10);
  if (!last && now - last_ < pause) return;
  last_ = now;
  if (kind_ == DisplayKind::kLines) {
    Line(absl::StrCat("step ", progress.step, "/", progress.steps, "  ", ProgressText(progress)));
    return;
  }
  // A column stays free: some terminals wrap behind a full line.
  out_ << "\r\x1b[K" << BarText(progress, width_ - 1) << std::flush;
  bar_shown_ = true;
}

void Display::Line(const std::string& text) {
  if (bar_shown_) out_ << "\r\x1b[K";
  bar_shown_ = false;
  out_ << text << std::endl;
}

}  // namespace trainer
