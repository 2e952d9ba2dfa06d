// Large images in tiles, against SAHI with mmdet: the same weights, tiles and ways to join
// (tools/make_sliced_goldens.py).
#include <gmock/gmock.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value_to.hpp>
#include <fstream>
#include <iterator>
#include <opencv2/imgcodecs.hpp>
#include <string>

#include "detector_service/inference/sliced_detection.h"
#include "tests/parity/detector_service/golden.h"
#include "tests/testing/status_matchers.h"
#include "vision/mask.h"
#include "vision/mask_union.h"
#include "vision/tiles.h"

namespace detector {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::Gt;
using testing::HasSubstr;
using testing::SizeIs;

absl::Status GoOn() { return absl::OkStatus(); }

vision::MergeMethod MethodNamed(std::string_view name) {
  if (name == "NMS") return vision::MergeMethod::kNms;
  return name == "NMM" ? vision::MergeMethod::kNmm : vision::MergeMethod::kGreedyNmm;
}

std::vector<Detection> DetectionsFrom(const boost::json::value& found,
                                      const std::vector<std::string>& classes) {
  std::vector<Detection> detections;
  for (const boost::json::value& one : found.as_array()) {
    const auto number = [&](int i) { return one.at(i).to_number<float>(); };
    const auto name = boost::json::value_to<std::string>(one.at(5));
    detections.push_back({.box = {number(0), number(1), number(2), number(3)},
                          .score = number(4),
                          .class_id = static_cast<int>(
                              std::find(classes.begin(), classes.end(), name) - classes.begin())});
  }
  return detections;
}

TEST(SlicedParityTest, FindsWhatSahiFinds) {
  ASSERT_OK_AND_ASSIGN(const auto model, DetectionModel::Load({.checkpoint = DUET_SOURCE_DIR
                                                               "/models/demo/rtmdet-demo.pth"}));
  const cv::Mat image = cv::imread(DUET_TEST_DATA "/detector/sliced.jpg");
  std::ifstream file(DUET_TEST_DATA "/detector/sliced.json");
  const boost::json::value golden =
      boost::json::parse(std::string{std::istreambuf_iterator<char>(file), {}});
  DetectOptions options;
  options.score_threshold = golden.at("score_threshold").to_number<double>();
  ASSERT_EQ(golden.at("cases").as_array().size(), 6u);
  for (const boost::json::value& one : golden.at("cases").as_array()) {
    SCOPED_TRACE(one.at("method").as_string());
    SCOPED_TRACE(one.at("metric").as_string());
    const SlicingOptions slicing = {
        .tile_size = golden.at("tile").to_number<int>(),
        .overlap = golden.at("overlap").to_number<int>(),
        .join = {.method = MethodNamed(one.at("method").as_string()),
                 .metric = one.at("metric").as_string() == "IOU" ? vision::OverlapMetric::kIou
                                                                 : vision::OverlapMetric::kIos}};
    const std::vector<Detection> expected = DetectionsFrom(one.at("found"), model->classes());

    ASSERT_OK_AND_ASSIGN(const std::vector<Detection> found,
                         DetectInSlices(*model, image, options, slicing, GoOn));

    // An overlap, or a score, that is the threshold but for float32's last digits may go either
    // way.
    EXPECT_NEAR(found.size(), expected.size(), 1);
    EXPECT_GE(CountMatches(expected, found) + 1, expected.size());
    EXPECT_TRUE(std::is_sorted(found.begin(), found.end(),
                               [](const auto& a, const auto& b) { return a.score > b.score; }));
  }
}

TEST(SlicedParityTest, MasksLieInTheImageAndAreJoinedWithTheirBoxes) {
  const Golden golden = ReadGolden("ins");
  ASSERT_OK_AND_ASSIGN(const auto model, DetectionModel::Load({.checkpoint = golden.checkpoint}));
  const cv::Mat image = ReadImage(golden.images[1]);
  const vision::Size size = {image.cols, image.rows};
  const SlicingOptions slicing = {.tile_size = 400, .overlap = 100, .whole_image = false};
  DetectOptions options;
  options.score_threshold = 0.3;
  std::vector<Detection> all;
  std::vector<vision::ScoredBox> boxes;
  const std::vector<vision::Tile> tiles = vision::TilesOf(size, 400, 100);
  ASSERT_THAT(tiles, SizeIs(4));
  for (const vision::Tile& tile : tiles) {
    const cv::Mat part = image(cv::Rect(tile.x, tile.y, tile.size.width, tile.size.height)).clone();
    ASSERT_OK_AND_ASSIGN(const std::vector<Detection> found, model->Detect(part, options));
    for (const Detection& one : found) {
      cv::Mat pixels = cv::Mat::zeros(image.rows, image.cols, CV_8UC1);
      vision::ToPixels(*one.mask).copyTo(
          pixels(cv::Rect(tile.x, tile.y, tile.size.width, tile.size.height)));
      all.push_back(one);
      all.back().mask = vision::MaskFromPixels(pixels);
      const auto x = static_cast<float>(tile.x);
      const auto y = static_cast<float>(tile.y);
      boxes.push_back({{one.box.x_min + x, one.box.y_min + y, one.box.x_max + x, one.box.y_max + y},
                       one.score,
                       one.class_id});
    }
  }
  const std::vector<vision::MergedBox> merged = vision::MergeBoxes(boxes, slicing.join);

  ASSERT_OK_AND_ASSIGN(const std::vector<Detection> found,
                       DetectInSlices(*model, image, options, slicing, GoOn));

  ASSERT_EQ(found.size(), merged.size());
  std::size_t joined = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    std::vector<vision::Mask> masks = {*all[merged[i].strongest].mask};
    for (const std::size_t index : merged[i].joined) masks.push_back(*all[index].mask);
    joined += masks.size() - 1;
    EXPECT_EQ(found[i].box, merged[i].whole.box) << i;
    EXPECT_EQ(*found[i].mask, vision::Union(masks)) << i;
  }
  EXPECT_THAT(joined, Gt(0u)) << "nothing would be tested";
}

TEST(SlicedParityTest, OfTurnedBoxesTheOverlapOfTheTurnedOnesCounts) {
  const Golden golden = ReadGolden("rtmr");
  ASSERT_OK_AND_ASSIGN(const auto model, DetectionModel::Load({.checkpoint = golden.checkpoint}));
  const cv::Mat image = ReadImage(golden.images[1]);
  DetectOptions options;
  options.score_threshold = 0.05;
  const SlicingOptions slicing = {
      .tile_size = 400,
      .overlap = 100,
      .join = {.method = vision::MergeMethod::kNms, .metric = vision::OverlapMetric::kIou}};

  ASSERT_OK_AND_ASSIGN(const std::vector<Detection> found,
                       DetectInSlices(*model, image, options, slicing, GoOn));

  ASSERT_THAT(found, SizeIs(Gt(20u)));
  std::size_t touching = 0;
  for (std::size_t a = 0; a < found.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      if (found[a].class_id != found[b].class_id) continue;
      EXPECT_LT(vision::RotatedIou(*found[a].rotated_box, *found[b].rotated_box), 0.5);
      if (vision::RotatedIou(*found[a].rotated_box, *found[b].rotated_box) > 0) ++touching;
    }
  }
  EXPECT_THAT(touching, Gt(0u));
}

TEST(SlicedParityTest, NobodyWaitsAnyMoreAndTheWorkEnds) {
  const Golden golden = ReadGolden("tiny");
  ASSERT_OK_AND_ASSIGN(const auto model, DetectionModel::Load({.checkpoint = golden.checkpoint}));
  const cv::Mat image = ReadImage(golden.images[1]);
  int looks = 0;
  const auto twice = [&] {
    return ++looks > 2 ? absl::CancelledError("nobody waits") : absl::OkStatus();
  };

  EXPECT_THAT(DetectInSlices(*model, image, {}, {.tile_size = 200, .overlap = 0}, twice),
              StatusIs(absl::StatusCode::kCancelled, "nobody waits"));
  EXPECT_EQ(looks, 3);
  EXPECT_THAT(DetectInSlices(*model, image, {}, {.tile_size = 64, .overlap = 63}, GoOn),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("640x480 has 240609 tiles of 64 pixels that overlap by 63")));
}

}  // namespace
}  // namespace detector
