#include "trainer/run/comparison.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <array>
#include <opencv2/imgproc.hpp>

#include "trainer/run/class_colors.h"

namespace trainer {
namespace {

constexpr int kMaxSide = 720;  // of one of the two copies
constexpr int kGap = 8;        // between them

class Canvas {
 public:
  Canvas(const cv::Mat& image, const std::vector<std::string>& classes)
      : classes_(classes), colors_(ClassColors(static_cast<int>(classes.size()))) {
    const int longest = std::max(image.cols, image.rows);
    scale_ = std::min(1.0, static_cast<double>(kMaxSide) / longest);
    cv::resize(image, pixels_, {}, scale_, scale_, cv::INTER_AREA);
  }

  void Draw(const vision::Box& box, int class_index, const std::string& note) {
    const std::array<int, 3>& rgb = colors_[static_cast<std::size_t>(class_index)];
    const cv::Scalar color(rgb[2], rgb[1], rgb[0]);
    const auto at = [&](float x, float y) {
      return cv::Point(cvRound(x * scale_), cvRound(y * scale_));
    };
    const cv::Point corner = at(box.x_min, box.y_min);
    cv::rectangle(pixels_, corner, at(box.x_max, box.y_max), color, 2, cv::LINE_AA);
    // OpenCV's letters are ASCII; others become question marks.
    const std::string text = classes_[static_cast<std::size_t>(class_index)] + note;
    int below = 0;
    const cv::Size size = cv::getTextSize(text, cv::FONT_HERSHEY_SIMPLEX, 0.4, 1, &below);
    const cv::Point base(std::clamp(corner.x, 0, std::max(0, pixels_.cols - size.width)),
                         std::max(size.height + 1, corner.y - 3));
    cv::rectangle(pixels_, base + cv::Point(0, below), base + cv::Point(size.width, -size.height),
                  cv::Scalar::all(0), cv::FILLED);
    cv::putText(pixels_, text, base, cv::FONT_HERSHEY_SIMPLEX, 0.4, cv::Scalar::all(255), 1,
                cv::LINE_AA);
  }

  const cv::Mat& pixels() const { return pixels_; }

 private:
  const std::vector<std::string>& classes_;
  const std::vector<std::array<int, 3>> colors_;
  double scale_ = 1;
  cv::Mat pixels_;
};

}  // namespace

cv::Mat DrawComparison(const TrainingImage& image, std::span<const Detection> found,
                       const std::vector<std::string>& classes) {
  Canvas truth(image.image, classes);
  for (const TrainingObject& object : image.objects) {
    truth.Draw(object.box, object.class_index, object.ignored ? " (crowd)" : "");
  }
  Canvas answer(image.image, classes);
  for (const Detection& box : found) {
    answer.Draw(box.box, box.class_index, absl::StrFormat(" %.2f", box.score));
  }
  cv::Mat both(truth.pixels().rows, 2 * truth.pixels().cols + kGap, CV_8UC3, cv::Scalar::all(255));
  const cv::Rect left(0, 0, truth.pixels().cols, truth.pixels().rows);
  truth.pixels().copyTo(both(left));
  answer.pixels().copyTo(both(left + cv::Point(left.width + kGap, 0)));
  return both;
}

}  // namespace trainer
