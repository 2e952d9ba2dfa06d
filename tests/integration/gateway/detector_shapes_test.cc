// Detectors that find more than boxes: their own masks and turned boxes on the way into Label
// Studio.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "label_studio/brush_rle.h"
#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"
#include "vision/mask_rle.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;

constexpr char kMasks[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels>
  <BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels></View>)";
constexpr char kRectangles[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels></View>)";

// Row 5 from 10 to 20, row 6 from 10 to 15.
const vision::Mask kMask = {.size = {320, 240}, .spans = {{5, 10, 20}, {6, 10, 15}}};

class DetectorShapesTest : public ::testing::Test {
 protected:
  DetectorShapesTest() {
    services_.on_detect = [this](auto&, const auto& request, auto* response) {
      omit_masks_ = request.omit_masks();
      response->set_image_width(320);
      response->set_image_height(240);
      auto* found = response->add_detections();
      found->set_label("cat");
      found->set_score(0.75f);
      found->mutable_box()->set_x_min(10);
      found->mutable_box()->set_y_min(5);
      found->mutable_box()->set_x_max(20);
      found->mutable_box()->set_y_max(7);
      if (services_.has_masks && !request.omit_masks()) {
        if (is_of_an_older_release_) {
          found->mutable_mask()->set_width(kMask.size.width);
          found->mutable_mask()->set_height(kMask.size.height);
          found->mutable_mask()->set_counts(vision::EncodeCocoRle(kMask));
        } else {
          EXPECT_THAT(request.mask_formats(),
                      ::testing::ElementsAre(duet::vision::v1::MASK_FORMAT_ROW_RUNS));
          found->mutable_row_runs()->set_width(kMask.size.width);
          found->mutable_row_runs()->set_height(kMask.size.height);
          const std::vector<std::uint32_t> runs = vision::EncodeRowRuns(kMask);
          found->mutable_row_runs()->mutable_counts()->Add(runs.begin(), runs.end());
        }
      }
      if (turned_) {
        // 40 × 20 about (160, 120), an eighth of a turn clockwise.
        auto* box = found->mutable_rotated_box();
        box->set_center_x(160);
        box->set_center_y(120);
        box->set_width(40);
        box->set_height(20);
        box->set_angle(std::numbers::pi_v<float> / 4);
      }
      return grpc::Status::OK;
    };
  }

  // The regions of one image.
  json::array Predict(const char* label_config, const char* extra_params = "{}") {
    Harness gateway({.detector = services_.address(), .segmenter = services_.address()});
    gateway.AwaitModels();
    gateway.Post("/setup",
                 {{"project", "1.5"}, {"schema", label_config}, {"extra_params", extra_params}});
    const Reply reply = gateway.Post("/predict", PredictBody(label_config, {PngDataUri(320, 240)}));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.result(0).at("result").as_array();
  }

  static vision::Mask MaskOf(const json::value& region) {
    std::vector<std::uint8_t> bytes;
    for (const json::value& byte : region.at("value").at("rle").as_array()) {
      bytes.push_back(byte.to_number<std::uint8_t>());
    }
    return label_studio::DecodeBrushRle(bytes, {320, 240}).value();
  }

  FakeServices services_;
  std::atomic<bool> omit_masks_ = false;
  bool is_of_an_older_release_ = false;  // the detector: it sends COCO's code alone
  bool turned_ = false;
};

TEST_F(DetectorShapesTest, ADetectorsOwnMasksNeedNoSegmenter) {
  services_.has_masks = true;

  const json::array regions = Predict(kMasks);

  ASSERT_EQ(regions.size(), 2u);
  EXPECT_EQ(regions[1].at("type"), "brushlabels");
  EXPECT_EQ(MaskOf(regions[1]), kMask);
  EXPECT_NEAR(regions[1].at("score").to_number<double>(), 0.75, 1e-6);
  EXPECT_FALSE(omit_masks_);
  EXPECT_EQ(services_.count("Embed") + services_.count("Segment"), 0);
}

TEST_F(DetectorShapesTest, MasksOfAnOlderDetectorAreTheSame) {
  services_.has_masks = true;
  is_of_an_older_release_ = true;

  const json::array regions = Predict(kMasks);

  ASSERT_EQ(regions.size(), 2u);
  EXPECT_EQ(MaskOf(regions[1]), kMask);
}

TEST_F(DetectorShapesTest, MasksAreTheSegmentersIfTheProjectSaysSo) {
  services_.has_masks = true;

  const json::array regions = Predict(kMasks, R"({"mask_source": "sam"})");

  ASSERT_EQ(regions.size(), 2u);
  EXPECT_EQ(vision::Area(MaskOf(regions[1])), 10 * 2);  // the fake's: the whole box
  EXPECT_NEAR(regions[1].at("score").to_number<double>(), 0.8, 1e-6);
  EXPECT_TRUE(omit_masks_);
  EXPECT_EQ(services_.count("Segment"), 1);
}

TEST_F(DetectorShapesTest, MasksThatNobodyDrawsAreNotAskedFor) {
  services_.has_masks = true;

  EXPECT_EQ(Predict(kRectangles).size(), 1u);

  EXPECT_TRUE(omit_masks_);
}

TEST_F(DetectorShapesTest, ATurnedBoxIsARectangleTurnedAboutItsFirstCorner) {
  turned_ = true;

  const json::array regions = Predict(kRectangles);

  ASSERT_EQ(regions.size(), 1u);
  const json::value& value = regions[0].at("value");
  const auto number = [&](const char* name) { return value.at(name).to_number<double>(); };
  // The first corner is half the width back along the box's x axis, half the height along its y.
  const double along = 20 / std::numbers::sqrt2, across = 10 / std::numbers::sqrt2;
  EXPECT_NEAR(number("x"), (160 - along + across) / 3.2, 1e-4);
  EXPECT_NEAR(number("y"), (120 - along - across) / 2.4, 1e-4);
  EXPECT_NEAR(number("width"), 40 / 3.2, 1e-4);
  EXPECT_NEAR(number("height"), 20 / 2.4, 1e-4);
  EXPECT_NEAR(number("rotation"), 45, 1e-4);
}

TEST_F(DetectorShapesTest, ATurnedObjectsMaskIsTheSegmenters) {
  turned_ = true;

  const json::array regions = Predict(kMasks);

  ASSERT_EQ(regions.size(), 2u);
  EXPECT_NEAR(regions[0].at("value").at("rotation").to_number<double>(), 45, 1e-4);
  EXPECT_EQ(vision::Area(MaskOf(regions[1])), 10 * 2);  // prompted with the box around it
  EXPECT_EQ(services_.count("Segment"), 1);
}

}  // namespace
}  // namespace gateway::testing
