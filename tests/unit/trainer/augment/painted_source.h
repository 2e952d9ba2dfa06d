// Flat images with objects in colours of their own, so that where an object is can be read off the
// pixels, whatever was done with the image.
#ifndef DUET_TESTS_UNIT_TRAINER_AUGMENT_PAINTED_SOURCE_H_
#define DUET_TESTS_UNIT_TRAINER_AUGMENT_PAINTED_SOURCE_H_

#include <atomic>
#include <memory>
#include <opencv2/imgproc.hpp>
#include <string>
#include <vector>

#include "trainer/samples/image_source.h"
#include "trainer/scenes/random.h"
#include "vision/mask.h"

namespace trainer {

class PaintedSource : public ImageSource {
 public:
  // `objects` in each image. Sizes are whole shares of `side`, so that an image fills its place in
  // a mosaic without rounding.
  PaintedSource(std::size_t count, int objects, int side)
      : count_(count), objects_(objects), side_(side) {
    for (int i = 0; i < objects; ++i) classes_.push_back("class " + std::to_string(i));
  }

  const std::vector<std::string>& classes() const override { return classes_; }
  std::size_t size() const override { return count_; }
  std::string name(std::size_t index) const override { return "painted " + std::to_string(index); }

  absl::StatusOr<TrainingImage> Load(std::size_t index) const override {
    ++loads_;
    loads_.notify_all();
    Random random(index + 1);
    const int width = index % 2 == 0 ? side_ : side_ / 2;
    const int height = index % 2 == 0 ? side_ * 3 / 4 : side_;
    TrainingImage painted{.image = cv::Mat(height, width, CV_8UC3, Background()), .objects = {}};
    std::vector<cv::Mat> masks;
    for (int i = 0; i < objects_; ++i) {
      const cv::Rect box(random.Integer(0, width - 21), random.Integer(0, height - 21),
                         random.Integer(12, 20), random.Integer(12, 20));
      cv::Mat mask = cv::Mat::zeros(height, width, CV_8UC1);
      if (i % 2 == 0) {
        mask(box) = 1;
      } else {
        cv::ellipse(mask, cv::RotatedRect(cv::Point2f(box.tl() + box.br()) / 2, box.size(), 0), 1,
                    cv::FILLED);
      }
      for (cv::Mat& below : masks) below.setTo(0, mask);
      painted.image.setTo(Colour(i), mask);
      masks.push_back(mask);
    }
    for (int i = 0; i < objects_; ++i) {
      const auto mask = std::make_shared<const vision::Mask>(
          vision::MaskFromPixels(masks[static_cast<std::size_t>(i)]));
      if (mask->spans.empty()) continue;
      painted.objects.push_back({.box = vision::TightBox(*mask), .class_index = i, .mask = mask});
    }
    return painted;
  }

  static cv::Scalar Background() { return cv::Scalar::all(114); }
  // Corners of the cube of colours, as far apart as colours can be.
  static cv::Scalar Colour(int i) {
    return {(i + 1) & 1 ? 255.0 : 0.0, (i + 1) & 2 ? 255.0 : 0.0, (i + 1) & 4 ? 255.0 : 0.0};
  }

  // Which object's colour a pixel has, at least more than any other; -1: the background's.
  int ObjectAt(const cv::Vec3b& pixel) const {
    int best = -1;
    double distance = cv::norm(cv::Vec3d(pixel) - cv::Vec3d(Background().val));
    for (int i = 0; i < objects_; ++i) {
      const double one = cv::norm(cv::Vec3d(pixel) - cv::Vec3d(Colour(i).val));
      if (one < distance) {
        best = i;
        distance = one;
      }
    }
    return best;
  }

  std::size_t loads() const { return loads_; }
  void WaitForLoads(std::size_t count) const {
    for (std::size_t seen = loads_; seen < count; seen = loads_) loads_.wait(seen);
  }

 private:
  const std::size_t count_;
  const int objects_;
  const int side_;
  std::vector<std::string> classes_;
  mutable std::atomic<std::size_t> loads_ = 0;
};

}  // namespace trainer

#endif  // DUET_TESTS_UNIT_TRAINER_AUGMENT_PAINTED_SOURCE_H_
