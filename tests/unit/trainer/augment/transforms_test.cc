// Against mmdet's own transforms with the same choices.
#include "trainer/augment/transforms.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numbers>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <vector>

#include "tests/unit/trainer/augment/fixture.h"
#include "vision/coco_polygon.h"
#include "vision/mask_rle.h"

namespace trainer {
namespace {

namespace json = boost::json;

// Of images, if arithmetic is in whole numbers on both sides.
constexpr double kSame = 0;
// Where upstream resizes in floating point and cuts off fractions, and this in bytes and rounds.
constexpr double kOneUnit = 1;

int Int(const json::value& choices, const char* name) { return choices.at(name).to_number<int>(); }
cv::Point PointOf(const json::value& pair) {
  return {pair.at(0).to_number<int>(), pair.at(1).to_number<int>()};
}

// Whether the outlines are within `px` of each other, thin ends aside: nothing of the one mask is
// that far outside of the other.
bool OutlinesAgree(const cv::Mat& a, const cv::Mat& b, int px) {
  const cv::Mat square = cv::Mat::ones(2 * px + 1, 2 * px + 1, CV_8UC1);
  const auto covers = [&](const cv::Mat& large, const cv::Mat& small) {
    cv::Mat grown;
    cv::dilate(large, grown, square);
    return cv::countNonZero(small & ~(grown * 255)) == 0;
  };
  return covers(a, b) && covers(b, a);
}

bool TouchesBorder(const vision::Box& box, cv::Size size) {
  return box.x_min <= 0 || box.y_min <= 0 || box.x_max >= static_cast<float>(size.width) ||
         box.y_max >= static_cast<float>(size.height);
}

class TransformsTest : public testing::Test {
 protected:
  TransformsTest() : fixture_(ReadFixture("transforms")), side_(Int(fixture_, "side")) {
    std::size_t i = 0;
    for (const json::value& source : fixture_.at("sources").as_array()) {
      const cv::Mat image = ReadFixtureImage("source_" + std::to_string(i++));
      TrainingImage read{.image = image, .objects = Objects(source, image.size())};
      sources_.push_back(ToFrame(read, /*masks=*/true));
    }
  }

  static std::vector<TrainingObject> Objects(const json::value& described, cv::Size size) {
    std::vector<TrainingObject> objects;
    for (std::size_t i = 0; i < described.at("boxes").as_array().size(); ++i) {
      const auto corner = [&](std::size_t at) {
        return described.at("boxes").at(i).at(at).to_number<float>();
      };
      const std::string code(described.at("masks").at(i).as_string());
      auto mask = vision::DecodeCocoRle({size.width, size.height}, code);
      objects.push_back({.box = {corner(0), corner(1), corner(2), corner(3)},
                         .class_index = described.at("labels").at(i).to_number<int>(),
                         .mask = std::make_shared<const vision::Mask>(*std::move(mask)),
                         .ignored = described.at("ignored").at(i).as_bool()});
    }
    return objects;
  }

  const json::value& Case(const std::string& name) const {
    for (const json::value& one : fixture_.at("cases").as_array()) {
      if (one.at("name").as_string() == name) return one;
    }
    throw std::runtime_error("no case " + name);
  }
  const json::value& Choices(const std::string& name) const { return Case(name).at("choices"); }
  const Frame& Source(const json::value& choices) const {
    return sources_[static_cast<std::size_t>(Int(choices, "source"))];
  }

  // `box_px`: what a box may be off. `mask_px`: what an outline may be off. Upstream has masks as
  // polygons until the end, this has pixels, and both round: that is a pixel of the source, as
  // large as it is here, and one more. Not compared is what touches a canvas' border: upstream
  // moves the corners that are outside onto it, which bends the edges that cross it.
  void Expect(const std::string& name, const Frame& frame, double pixel_units, float box_px,
              int mask_px) const {
    SCOPED_TRACE(name);
    const cv::Mat image = ReadFixtureImage(name);
    ASSERT_EQ(frame.image.size(), image.size());
    EXPECT_LE(cv::norm(frame.image, image, cv::NORM_INF), pixel_units);
    const std::vector<TrainingObject> theirs = Objects(Case(name), image.size());
    const TrainingImage ours = ToTrainingImage(frame);
    ASSERT_EQ(ours.objects.size(), theirs.size());
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      const vision::Box& box = ours.objects[i].box;
      EXPECT_NEAR(box.x_min, theirs[i].box.x_min, box_px) << i;
      EXPECT_NEAR(box.y_min, theirs[i].box.y_min, box_px) << i;
      EXPECT_NEAR(box.x_max, theirs[i].box.x_max, box_px) << i;
      EXPECT_NEAR(box.y_max, theirs[i].box.y_max, box_px) << i;
      EXPECT_EQ(ours.objects[i].class_index, theirs[i].class_index) << i;
      EXPECT_EQ(ours.objects[i].ignored, theirs[i].ignored) << i;
      if (TouchesBorder(box, image.size())) continue;
      EXPECT_TRUE(OutlinesAgree(vision::ToPixels(*ours.objects[i].mask, 1),
                                vision::ToPixels(*theirs[i].mask, 1), mask_px))
          << i;
    }
  }

  Frame MosaicOf(const json::value& choices) const {
    std::array<Frame, 4> tiles;
    std::array<const Frame*, 4> pointers = {};
    for (std::size_t i = 0; i < tiles.size(); ++i) {
      const auto source = choices.at("tiles").at(i).to_number<std::size_t>();
      tiles[i] = MosaicTile(sources_[source], side_);
      pointers[i] = &tiles[i];
    }
    return Mosaic(pointers, PointOf(choices.at("centre")), side_, 114);
  }

  Frame Unmixed(const json::value& choices) const {
    Frame frame = Resized(MosaicOf(choices), Int(choices, "longer_side"));
    const cv::Size window(std::min(side_, frame.image.cols), std::min(side_, frame.image.rows));
    frame = Cropped(frame, cv::Rect(PointOf(choices.at("window")), window),
                    choices.at("recompute").as_bool());
    frame.image = frame.image.clone();
    ShiftColours(Gains(choices), &frame.image);
    if (choices.at("flip").as_bool()) frame = FlippedFrame(frame);
    return Padded(frame, side_, 114);
  }

  static std::array<int, 3> Gains(const json::value& choices) {
    const json::value& gains = choices.at("gains");
    return {gains.at(0).to_number<int>(), gains.at(1).to_number<int>(),
            gains.at(2).to_number<int>()};
  }

  const json::value fixture_;
  const int side_;
  std::vector<Frame> sources_;
};

TEST_F(TransformsTest, Mosaic) {
  for (const char* name : {"mosaic", "mosaic_off_centre"}) {
    Expect(name, MosaicOf(Choices(name)), kSame, 1e-4F, 2);
  }
}

TEST_F(TransformsTest, Resize) {
  for (const char* name : {"larger", "smaller", "half"}) {
    Expect(name, Resized(Source(Choices(name)), Int(Choices(name), "longer_side")), kSame, 1e-4F,
           3);
  }
}

TEST_F(TransformsTest, Crop) {
  for (const std::string name : {"crop", "crop_far", "crop_low"}) {
    for (const bool recompute : {false, true}) {
      const std::string full = name + (recompute ? "_recomputed" : "");
      const json::value& choices = Choices(full);
      const Frame& source = Source(choices);
      const cv::Rect window(Int(choices, "x"), Int(choices, "y"),
                            std::min(side_, source.image.cols), std::min(side_, source.image.rows));
      // Upstream's boxes are those of polygons, whose thin ends have no pixels.
      Expect(full, Cropped(source, window, recompute), kSame, recompute ? 2 : 1e-4F, 1);
    }
  }
}

// Upstream draws the box around what is left of the polygon, which is as fine as the annotation.
// The mask has whole pixels of the source: drawn around those, small objects would lose a tenth.
TEST(RecomputedBoxTest, EdgesThatTheCropLeftAloneStayAsAnnotated) {
  const vision::Size size{40, 40};
  const vision::Box annotated{10.3F, 8.6F, 18.4F, 16.7F};
  std::vector<double> circle;
  for (int i = 0; i < 48; ++i) {
    const double angle = 2 * std::numbers::pi * i / 48;
    circle.push_back(14.35 + 4.05 * std::cos(angle));
    circle.push_back(12.65 + 4.05 * std::sin(angle));
  }
  Frame frame{.image = cv::Mat(40, 40, CV_8UC3, cv::Scalar::all(0)), .objects = {}};
  FramedObject& object = frame.objects.emplace_back();
  object.box = annotated;
  object.mask = std::make_shared<const vision::Mask>(*vision::MaskFromCocoPolygon(size, circle));
  const Frame larger = Resized(frame, 100);

  const vision::Box whole = Cropped(larger, {0, 0, 100, 100}, true).objects.at(0).box;
  EXPECT_NEAR(whole.x_min, 2.5F * annotated.x_min, 1e-4);
  EXPECT_NEAR(whole.y_min, 2.5F * annotated.y_min, 1e-4);
  EXPECT_NEAR(whole.x_max, 2.5F * annotated.x_max, 1e-4);
  EXPECT_NEAR(whole.y_max, 2.5F * annotated.y_max, 1e-4);

  // Six of the object's eight columns are cut off: what is left is not as high any more.
  const vision::Box rest = Cropped(larger, {40, 0, 60, 100}, true).objects.at(0).box;
  EXPECT_EQ(rest.x_min, 0);
  EXPECT_NEAR(rest.x_max, 2.5F * annotated.x_max - 40, 1e-4);
  const double half = std::sqrt(4.05 * 4.05 - 1.65 * 1.65);
  EXPECT_NEAR(rest.y_min, 2.5 * (12.65 - half), 2.5) << "a pixel of the source";
  EXPECT_NEAR(rest.y_max, 2.5 * (12.65 + half), 2.5);
  const vision::Box strip = Cropped(larger, {44, 0, 56, 100}, true).objects.at(0).box;
  EXPECT_GT(strip.y_min, 2.5 * (annotated.y_min + 1)) << "recomputed";
  EXPECT_LT(strip.y_max, 2.5 * (annotated.y_max - 1)) << "recomputed";

  EXPECT_EQ(Cropped(larger, {0, 0, 100, 100}, false).objects.at(0).box, larger.objects[0].box);
}

TEST_F(TransformsTest, Colours) {
  for (const char* name : {"colours", "colours_back", "colours_same"}) {
    Frame frame = Source(Choices(name));
    frame.image = frame.image.clone();
    ShiftColours(Gains(Choices(name)), &frame.image);
    Expect(name, frame, kSame, 1e-4F, 0);
  }
}

TEST_F(TransformsTest, Flip) {
  Expect("flip", FlippedFrame(Source(Choices("flip"))), kSame, 1e-4F, 1);
}

TEST_F(TransformsTest, Pad) {
  Expect("pad", Padded(Source(Choices("pad")), side_, 114), kSame, 1e-4F, 0);
}

TEST_F(TransformsTest, AllButMixUpInARow) {
  for (const char* name : {"chain", "chain_other", "chain_padded"}) {
    // A recomputed box is off by a pixel of the source, which is larger here.
    const bool recompute = Choices(name).at("recompute").as_bool();
    Expect(name, Unmixed(Choices(name)), kSame, recompute ? 2.5F : 1e-3F, 3);
  }
}

TEST_F(TransformsTest, MixUp) {
  for (const char* name : {"mixed", "mixed_flipped", "mixed_larger", "mixed_smaller"}) {
    const json::value& choices = Choices(name);
    const double ratio = choices.at("ratio").to_number<double>();
    const MixUpChoice choice{.ratio = ratio,
                             .flip = choices.at("flip").as_bool(),
                             .offset = {Int(choices, "x"), Int(choices, "y")}};
    const Frame mixed =
        MixedUp(Unmixed(choices.at("frame")), Unmixed(choices.at("partner")), choice, side_, 114);
    Expect(name, mixed, ratio == 1 ? kSame : kOneUnit, 2.5F, 3);
  }
}

TEST_F(TransformsTest, AFilterLeavesBoxesThatAreWiderAndHigherThanAPixel) {
  Frame frame;
  for (const vision::Box box : {vision::Box{1, 1, 2, 9}, {1, 1, 2.5F, 2.5F}, {1, 1, 9, 2}}) {
    frame.objects.emplace_back().box = box;
  }

  EXPECT_TRUE(FilterSmallBoxes(&frame));

  ASSERT_EQ(frame.objects.size(), 1U);
  EXPECT_EQ(frame.objects[0].box, (vision::Box{1, 1, 2.5F, 2.5F}));
  frame.objects[0].box = {1, 1, 2, 2};
  EXPECT_FALSE(FilterSmallBoxes(&frame));
  EXPECT_TRUE(FilterSmallBoxes(&frame)) << "what was empty before may stay";
}

}  // namespace
}  // namespace trainer
