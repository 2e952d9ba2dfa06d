#include "cli/progress_report.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <unistd.h>

#include <algorithm>

#include "label_studio/json_text.h"
#include "text/str_cat.h"

namespace cli {
namespace {

constexpr absl::Duration kLineEvery = absl::Seconds(10);
constexpr int kBarWidth = 24;

std::string Failures(const bulk::Totals& totals) {
  std::string text;
  for (const auto& [kind, count] : totals.failures) {
    text::StrAppend(&text, text.empty() ? "" : ", ", count, " ", kind);
  }
  return text;
}

std::string Clock(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds);
  return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

ProgressForm ChooseProgressForm(bool json) {
  if (json) return ProgressForm::kJson;
  return isatty(STDERR_FILENO) != 0 ? ProgressForm::kBar : ProgressForm::kLines;
}

ProgressReport::ProgressReport(ProgressForm form, std::ostream& out, absl::Time now)
    : form_(form), out_(out), begun_(now), last_(now) {}

void ProgressReport::Progress(const bulk::Totals& totals, std::uint64_t total) {
  if (first_) images_before_ = totals.images;
  const absl::Time now = absl::Now();
  const bool due =
      form_ == ProgressForm::kBar || now - last_ >= kLineEvery || first_ || totals.images == total;
  first_ = false;
  if (!due) return;
  last_ = now;
  const double elapsed = absl::ToDoubleSeconds(now - begun_);
  const double rate =
      elapsed > 0 ? static_cast<double>(totals.images - images_before_) / elapsed : 0;
  const double left = rate > 0 ? static_cast<double>(total - totals.images) / rate : 0;
  if (form_ == ProgressForm::kJson) {
    std::string json = absl::StrFormat(
        R"({"event":"progress","done":%d,"images":%d,"objects":%d,"kept_bytes":%d,)"
        R"("failed":%d,"images_per_second":%.2f,"seconds_left":%.0f)",
        totals.images, total, totals.objects, totals.kept_bytes, totals.failed(), rate, left);
    json.append(",\"failures\":{");
    const char* separator = "";
    for (const auto& [kind, count] : totals.failures) {
      text::StrAppend(&json, separator, "\"", kind, "\":", count);
      separator = ",";
    }
    out_ << json << "}}" << std::endl;
    return;
  }
  const std::string failures = Failures(totals);
  const std::string numbers = absl::StrFormat("%d of %d images, %.1f/s, %s left%s", totals.images,
                                              total, rate, rate > 0 ? Clock(left) : "-:--:--",
                                              failures.empty() ? "" : "; failed: " + failures);
  if (form_ == ProgressForm::kLines) {
    out_ << numbers << std::endl;
    return;
  }
  const auto filled = static_cast<int>(total == 0 ? 0 : kBarWidth * totals.images / total);
  out_ << "\r[" << std::string(static_cast<std::size_t>(filled), '#')
       << std::string(static_cast<std::size_t>(kBarWidth - filled), '.') << "] " << numbers
       << "\x1b[K" << std::flush;
  bar_shown_ = true;
}

void ProgressReport::Line(std::string_view event, std::string_view sentence) {
  if (form_ == ProgressForm::kJson) {
    std::string json = text::StrCat("{\"event\":\"", event, "\",\"message\":");
    label_studio::AppendJsonString(sentence, &json);
    out_ << json << "}" << std::endl;
    return;
  }
  if (bar_shown_) out_ << "\r\x1b[K";
  out_ << sentence << std::endl;
}

void ProgressReport::Failed(const bulk::Item&, const duet::bulk::v1::Failure& failure) {
  Line("failed", failure.message());
}

void ProgressReport::Says(std::string_view sentence) { Line("plan", sentence); }

void ProgressReport::Waits(std::string_view sentence) {
  Line("waits", text::StrCat("waiting: ", sentence));
}

void ProgressReport::GoesOn(absl::Duration waited) {
  Line("goes_on", text::StrCat("goes on after ",
                               absl::StrFormat("%.0f", absl::ToDoubleSeconds(waited)), " s"));
}

void ProgressReport::Finish() {
  if (bar_shown_) out_ << std::endl;
  bar_shown_ = false;
}

}  // namespace cli
