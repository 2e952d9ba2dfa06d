#include "cli/picture_drawing.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <opencv2/imgproc.hpp>

#include "text/str_cat.h"
#include "vision/mask.h"
#include "vision/rotated_box.h"

namespace cli {
namespace {

using label_studio::Object;

constexpr double kMaskOpacity = 0.4;
constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
// Above this relative luminance (WCAG 2) black is easier to read on a colour than white.
constexpr double kBlackFrom = 0.179;

cv::Scalar ToScalar(const label_studio::Rgb& color) {
  return cv::Scalar(color.blue, color.green, color.red);
}

double Luminance(const label_studio::Rgb& color) {
  const auto linear = [](int channel) {
    const double value = channel / 255.0;
    return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
  };
  return 0.2126 * linear(color.red) + 0.7152 * linear(color.green) + 0.0722 * linear(color.blue);
}

// OpenCV's font has the printable characters of ASCII.
bool CanBeWritten(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(),
                                      [](char letter) { return letter >= ' ' && letter <= '~'; });
}

std::string Caption(const Object& object, std::size_t number) {
  const std::string name =
      CanBeWritten(object.class_name) ? object.class_name : text::StrCat("#", number);
  return text::StrCat(name, " ", absl::StrFormat("%.2f", object.score));
}

// Sizes of pens and letters, in pixels of what is drawn.
struct Pen {
  int line = 2;
  double font_scale = 0.5;
  int letter_line = 1;
  int padding = 3;
};

Pen PenFor(cv::Size canvas) {
  const int longest = std::max(canvas.width, canvas.height);
  Pen pen;
  pen.line = std::max(2, static_cast<int>(std::lround(longest / 500.0)));
  pen.font_scale = std::max(0.5, longest / 1600.0);
  pen.letter_line = std::max(1, static_cast<int>(std::lround(pen.font_scale * 1.6)));
  pen.padding = std::max(3, static_cast<int>(std::lround(pen.font_scale * 6)));
  return pen;
}

void DrawMask(const Object& object, const cv::Scalar& color, int line, cv::Mat* drawn) {
  cv::Mat mask = vision::ToPixels(*object.mask);
  if (mask.size() != drawn->size()) {
    cv::resize(mask, mask, drawn->size(), 0, 0, cv::INTER_NEAREST);
  }
  cv::Mat tinted;
  cv::addWeighted(*drawn, 1 - kMaskOpacity, cv::Mat(drawn->size(), drawn->type(), color),
                  kMaskOpacity, 0, tinted);
  tinted.copyTo(*drawn, mask);
  std::vector<std::vector<cv::Point>> outlines;
  cv::findContours(mask, outlines, cv::RETR_CCOMP, cv::CHAIN_APPROX_NONE);
  cv::drawContours(*drawn, outlines, -1, color, std::max(1, line - 1), cv::LINE_AA);
}

// Its corners, in pixels of what is drawn.
std::vector<cv::Point> CornersOf(const Object& object, int factor) {
  std::vector<cv::Point> corners;
  const auto add = [&](float x, float y) {
    corners.emplace_back(static_cast<int>(std::lround(x * static_cast<float>(factor))),
                         static_cast<int>(std::lround(y * static_cast<float>(factor))));
  };
  if (object.rotated_box) {
    for (const vision::Point& corner : vision::Corners(*object.rotated_box)) {
      add(corner.x, corner.y);
    }
  } else {
    add(object.box.x_min, object.box.y_min);
    add(object.box.x_max, object.box.y_min);
    add(object.box.x_max, object.box.y_max);
    add(object.box.x_min, object.box.y_max);
  }
  return corners;
}

void DrawCaptions(const std::vector<Object>& objects, const std::vector<std::string>& classes,
                  const std::vector<cv::Rect>& boxes, const Pen& pen, cv::Mat* drawn) {
  std::vector<std::string> captions;
  std::vector<cv::Size> sizes;
  std::vector<int> baselines;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    captions.push_back(Caption(objects[i], i + 1));
    int baseline = 0;
    const cv::Size letters =
        cv::getTextSize(captions.back(), kFont, pen.font_scale, pen.letter_line, &baseline);
    baselines.push_back(baseline);
    sizes.emplace_back(letters.width + 2 * pen.padding,
                       letters.height + baseline + 2 * pen.padding);
  }
  const std::vector<cv::Rect> places = PlaceCaptions(boxes, sizes, drawn->size());
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const label_studio::Rgb color = ColorOfClass(classes, objects[i].class_name);
    const cv::Rect& place = places[i];
    cv::rectangle(*drawn, place, ToScalar(color), cv::FILLED);
    const cv::Scalar letters =
        Luminance(color) > kBlackFrom ? cv::Scalar(0, 0, 0) : cv::Scalar(255, 255, 255);
    cv::putText(*drawn, captions[i],
                {place.x + pen.padding, place.br().y - pen.padding - baselines[i]}, kFont,
                pen.font_scale, letters, pen.letter_line, cv::LINE_AA);
  }
}

cv::Rect Within(cv::Rect place, cv::Size canvas) {
  place.x = std::max(0, std::min(place.x, canvas.width - place.width));
  place.y = std::max(0, std::min(place.y, canvas.height - place.height));
  return place;
}

}  // namespace

label_studio::Rgb ColorOfClass(const std::vector<std::string>& classes, const std::string& name) {
  const auto found = std::find(classes.begin(), classes.end(), name);
  return label_studio::LabelColor(static_cast<std::size_t>(found - classes.begin()));
}

std::vector<cv::Rect> PlaceCaptions(const std::vector<cv::Rect>& boxes,
                                    const std::vector<cv::Size>& captions, cv::Size canvas) {
  std::vector<cv::Rect> places;
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const cv::Rect& box = boxes[i];
    const cv::Size size = captions[i];
    const int right = box.br().x - size.width;
    std::vector<cv::Point> candidates = {
        {box.x, box.y - size.height}, {box.x, box.y}, {box.x, box.br().y},
        {right, box.y - size.height}, {right, box.y}, {right, box.br().y}};
    for (int y = box.y + size.height; y < box.br().y; y += size.height) {
      candidates.emplace_back(box.x, y);
    }
    cv::Rect best;
    std::int64_t least = -1;
    for (const cv::Point& corner : candidates) {
      const cv::Rect place = Within({corner, size}, canvas);
      const std::int64_t covered =
          std::accumulate(places.begin(), places.end(), std::int64_t{0},
                          [&](std::int64_t sum, const cv::Rect& other) {
                            return sum + std::int64_t{(place & other).area()};
                          });
      if (least >= 0 && covered >= least) continue;
      best = place;
      least = covered;
      if (covered == 0) break;
    }
    places.push_back(best);
  }
  return places;
}

cv::Mat DrawObjects(const cv::Mat& picture, const std::vector<Object>& objects,
                    const std::vector<std::string>& classes) {
  const int longest = std::max(picture.cols, picture.rows);
  const int factor = (kLeastDrawnSide + longest - 1) / longest;  // 1 from that side on
  cv::Mat drawn;
  cv::resize(picture, drawn, {}, factor, factor, cv::INTER_CUBIC);
  const Pen pen = PenFor(drawn.size());
  for (const Object& object : objects) {
    if (!object.mask) continue;
    DrawMask(object, ToScalar(ColorOfClass(classes, object.class_name)), pen.line, &drawn);
  }
  std::vector<cv::Rect> boxes;
  for (const Object& object : objects) {
    const std::vector<cv::Point> corners = CornersOf(object, factor);
    cv::polylines(drawn, corners, /*isClosed=*/true,
                  ToScalar(ColorOfClass(classes, object.class_name)), pen.line, cv::LINE_AA);
    boxes.push_back(cv::boundingRect(corners));
  }
  DrawCaptions(objects, classes, boxes, pen, &drawn);
  return drawn;
}

}  // namespace cli
