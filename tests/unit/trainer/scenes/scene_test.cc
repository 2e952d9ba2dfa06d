#include "trainer/scenes/scene.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <opencv2/imgproc.hpp>
#include <set>
#include <string>
#include <vector>

#include "dataset/coco_reader.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "trainer/scenes/random.h"
#include "trainer/scenes/scene_files.h"
#include "trainer/scenes/shape.h"

namespace trainer {
namespace {

bool SamePixels(const cv::Mat& a, const cv::Mat& b) {
  return a.size() == b.size() && a.type() == b.type() && cv::norm(a, b, cv::NORM_INF) == 0;
}

TEST(SceneTest, TheSameSeedDrawsTheSameScene) {
  const Scene first = DrawScene(42, {});
  const Scene second = DrawScene(42, {});

  EXPECT_TRUE(SamePixels(first.image, second.image));
  ASSERT_EQ(first.objects.size(), second.objects.size());
  for (std::size_t i = 0; i < first.objects.size(); ++i) {
    EXPECT_EQ(first.objects[i].shape, second.objects[i].shape);
    EXPECT_EQ(first.objects[i].box, second.objects[i].box);
    EXPECT_TRUE(SamePixels(first.objects[i].mask, second.objects[i].mask));
  }
}

TEST(SceneTest, AnotherSeedDrawsAnotherScene) {
  EXPECT_FALSE(SamePixels(DrawScene(1, {}).image, DrawScene(2, {}).image));
}

TEST(SceneTest, MasksAreDisjointAndBoxesTight) {
  for (int n = 0; n < 20; ++n) {
    SceneOptions options;
    options.size = {240, 160};
    const Scene scene = DrawScene(SceneSeed(7, "test", n), options);
    ASSERT_FALSE(scene.objects.empty());
    cv::Mat times_covered = cv::Mat::zeros(options.size, CV_8UC1);
    for (const SceneObject& object : scene.objects) {
      times_covered += object.mask / 255;
      const cv::Rect tight = cv::boundingRect(object.mask);
      EXPECT_EQ(object.box,
                (vision::Box{static_cast<float>(tight.x), static_cast<float>(tight.y),
                             static_cast<float>(tight.br().x), static_cast<float>(tight.br().y)}));
      EXPECT_GT(cv::countNonZero(object.mask), 0);
    }
    double most = 0;
    cv::minMaxLoc(times_covered, nullptr, &most);
    EXPECT_EQ(most, 1);
  }
}

TEST(SceneTest, EveryShapeComesUp) {
  std::set<Shape> seen;
  SceneOptions options;
  options.size = {160, 160};
  for (int n = 0; n < 40; ++n) {
    for (const SceneObject& object : DrawScene(SceneSeed(1, "test", n), options).objects)
      seen.insert(object.shape);
  }
  EXPECT_EQ(seen.size(), ShapeNames().size());
  EXPECT_FALSE(seen.contains(Shape::kDrop));
}

TEST(SceneTest, ShapesAreDrawnAsOftenAsTheyAreNamed) {
  const SceneOptions options{.size = {160, 160},
                             .shapes = {Shape::kDrop, Shape::kStar, Shape::kDrop}};
  std::map<Shape, int> drawn;
  for (int n = 0; n < 100; ++n) {
    for (const SceneObject& object : DrawScene(SceneSeed(1, "test", n), options).objects)
      ++drawn[object.shape];
  }
  EXPECT_THAT(
      drawn, testing::UnorderedElementsAre(testing::Key(Shape::kDrop), testing::Key(Shape::kStar)));
  // Two in three of some 400 shapes, give or take four standard deviations.
  const double share = 1.0 * drawn[Shape::kDrop] / (drawn[Shape::kDrop] + drawn[Shape::kStar]);
  EXPECT_NEAR(share, 2.0 / 3, 0.1);
}

// Read back as any training reads it.
TEST(SceneFilesTest, AnnotationsAreCoco) {
  const duet_testing::TempDir directory;
  const std::string path = directory.path() + "/coco.json";
  const Scene scene = DrawScene(5, {.size = {160, 120}, .shapes = {Shape::kStar, Shape::kDrop}});

  ASSERT_TRUE(WriteSceneAnnotations({scene}, {"scene_0"}, path).ok());

  dataset::Findings findings;
  ASSERT_OK_AND_ASSIGN(const dataset::Dataset read,
                       dataset::ReadCoco(duet_testing::ReadFile(path), {}, &findings));
  EXPECT_TRUE(findings.empty());
  ASSERT_EQ(read.classes.size(), 11U);
  ASSERT_EQ(read.samples.size(), 1U);
  EXPECT_EQ(read.samples[0].image, "scene_0.jpg");
  EXPECT_EQ(read.samples[0].size, (vision::Size{160, 120}));
  ASSERT_EQ(read.samples[0].objects.size(), scene.objects.size());
  for (std::size_t i = 0; i < scene.objects.size(); ++i) {
    const dataset::Object& object = read.samples[0].objects[i];
    EXPECT_EQ(read.classes[object.class_index], NameOf(scene.objects[i].shape));
    EXPECT_EQ(object.box, scene.objects[i].box);
    EXPECT_EQ(object.mask, vision::MaskFromPixels(scene.objects[i].mask));
    EXPECT_EQ(object.area, cv::countNonZero(scene.objects[i].mask));
  }
}

TEST(ShapeTest, NamesGoBothWays) {
  for (int shape = 0; shape <= static_cast<int>(Shape::kDrop); ++shape)
    EXPECT_EQ(ShapeOf(NameOf(static_cast<Shape>(shape))), static_cast<Shape>(shape));
  EXPECT_EQ(NameOf(Shape::kArrow), ShapeNames().back());
  EXPECT_EQ(ShapeOf("blob"), std::nullopt);
}

// A shape that its surroundings hide could be found by nobody.
TEST(ShapeTest, OutlinesHaveTheFormsOfTheirNames) {
  // Their areas by the formulas of geometry; the ring's hole is none of it.
  const std::map<Shape, double> areas = {
      {Shape::kCircle, std::numbers::pi},
      {Shape::kSquare, 1.4 * 1.4},
      {Shape::kTriangle, 3 * std::sqrt(3) / 4},
      {Shape::kStar, 10 * 0.42 * std::sin(std::numbers::pi / 5) / 2},
      {Shape::kRing, std::numbers::pi * (1 - 0.55 * 0.55)},
      {Shape::kCross, 2 * (2 * 0.94) * (2 * 0.32) - (2 * 0.32) * (2 * 0.32)},
      {Shape::kHexagon, 3 * std::sqrt(3) / 2},
      // Two right triangles from the tip to where the tangents touch, and the rest of the disc.
      {Shape::kDrop, 0.62 * std::sqrt(1.38 * 1.38 - 0.62 * 0.62) +
                         0.62 * 0.62 * (std::numbers::pi - std::acos(0.62 / 1.38))}};
  for (const auto& [shape, area] : areas) {
    double sum = 0;
    for (const auto& outline : OutlinesOf(shape)) {
      const std::vector<cv::Point2f> points(outline.begin(), outline.end());
      sum += (sum == 0 ? 1 : -1) * cv::contourArea(points);
    }
    EXPECT_NEAR(sum, area, 0.01) << NameOf(shape);
  }
  for (int shape = 0; shape <= static_cast<int>(Shape::kDrop); ++shape) {
    const auto outlines = OutlinesOf(static_cast<Shape>(shape));
    for (const cv::Point2d& point : outlines.front()) {
      EXPECT_LE(std::hypot(point.x, point.y), 1.05) << shape;  // the heart 1.04
    }
  }
}

TEST(ShapeTest, TrianglesAndStarsPointUp) {
  for (const Shape shape : {Shape::kTriangle, Shape::kStar}) {
    const auto outlines = OutlinesOf(shape);
    double top = 0, bottom = 0;
    for (const cv::Point2d& point : outlines.front()) {
      top = std::min(top, point.y);
      bottom = std::max(bottom, point.y);
    }
    EXPECT_NEAR(top, -1, 1e-9);
    EXPECT_LT(bottom, 0.9);
  }
}

TEST(RandomTest, BothEndsOfARangeComeUp) {
  Random random(5);
  std::map<int, int> times;
  for (int i = 0; i < 600; ++i) ++times[random.Integer(-1, 1)];
  EXPECT_EQ(times.size(), 3u);
  for (const int value : {-1, 0, 1}) EXPECT_NEAR(times[value], 200, 60) << value;
}

TEST(SceneTest, ShapesStandOutFromTheirBackground) {
  SceneOptions options;
  options.size = {200, 200};
  options.min_objects = options.max_objects = 1;
  for (int n = 0; n < 30; ++n) {
    const Scene scene = DrawScene(SceneSeed(3, "test", n), options);
    const cv::Mat& mask = scene.objects[0].mask;
    cv::Mat wide;
    cv::dilate(mask, wide, cv::Mat(), {-1, -1}, 6);
    const cv::Scalar inside = cv::mean(scene.image, mask);
    const cv::Scalar around = cv::mean(scene.image, wide - mask);
    EXPECT_GT(cv::norm(inside - around), 30) << "scene " << n;
  }
}

TEST(SceneTest, SequencesShareNoSeed) {
  std::set<std::uint64_t> seeds;
  for (int n = 0; n < 1000; ++n) {
    seeds.insert(SceneSeed(1, "train", n));
    seeds.insert(SceneSeed(1, "held-out", n));
    seeds.insert(SceneSeed(2, "train", n));
  }
  EXPECT_EQ(seeds.size(), 3000u);
}

}  // namespace
}  // namespace trainer
