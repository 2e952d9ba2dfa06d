#include "detector_service/inference/detection_model.h"

#include <gmock/gmock.h>

#include <functional>
#include <new>
#include <oneapi/dnnl/dnnl.hpp>
#include <opencv2/core.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/safetensors_writer.h"
#include "detector_service/inference/preprocess.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace detector {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::HasSubstr;

// Computes nothing but an exception.
class ThrowingNetwork final : public Network {
 public:
  explicit ThrowingNetwork(std::function<void()> raise) : raise_(std::move(raise)) {}
  absl::Status Run(const float*, vision::Size, RawOutput*) override {
    raise_();
    return absl::OkStatus();
  }

 private:
  const std::function<void()> raise_;
};

// On the computing thread, where nobody else would catch it.
TEST(DetectionModelTest, WhatTheNetworkThrowsIsTheRequestsStatus) {
  auto loaded =
      DetectionModel::Load({.checkpoint = std::string(DUET_TEST_DATA) + "/detector/tiny.pth"});
  ASSERT_THAT(loaded, IsOk());
  DetectionModel& model = **loaded;
  const cv::Mat image(48, 64, CV_8UC3, cv::Scalar::all(90));
  ASSERT_THAT(model.Detect(image, {}), IsOk());

  model.ReplaceNetwork(std::make_unique<ThrowingNetwork>(
      [] { throw dnnl::error(dnnl_runtime_error, "could not execute a primitive"); }));
  EXPECT_THAT(model.Detect(image, {}),
              StatusIs(absl::StatusCode::kInternal, "detect: could not execute a primitive"));
  EXPECT_THAT(model.WarmUp(), StatusIs(absl::StatusCode::kInternal, HasSubstr("primitive")));

  model.ReplaceNetwork(std::make_unique<ThrowingNetwork>([] { throw std::bad_alloc(); }));
  EXPECT_THAT(model.Detect(image, {}), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(DetectionModelTest, WhatTrainingPutsAroundAndBesideItIsLeftOut) {
  const std::string plain = std::string(DUET_TEST_DATA) + "/detector/tiny.pth";
  ASSERT_OK_AND_ASSIGN(checkpoint::Checkpoint file, checkpoint::ReadCheckpoint(plain));
  for (auto& [name, view] : file.state_dict) name = "_orig_mod.model." + name;
  // mmdet 2.x's EMA hook.
  file.state_dict.emplace_back("ema_backbone_stem_0_conv_weight", file.state_dict.front().second);
  const duet_testing::TempDir folder;
  const std::string saved = folder.path() + "/saved.safetensors";
  ASSERT_THAT(checkpoint::WriteSafetensors(saved, file.state_dict, file.meta), IsOk());
  const duet_testing::LogCapture log;

  ASSERT_OK_AND_ASSIGN(const auto expected, DetectionModel::Load({.checkpoint = plain}));
  ASSERT_OK_AND_ASSIGN(const auto wrapped, DetectionModel::Load({.checkpoint = saved}));

  EXPECT_THAT(log.lines("model.prefix_removed"),
              testing::ElementsAre(HasSubstr("\"prefix\":\"model.\"")));
  cv::Mat image(48, 64, CV_8UC3);
  cv::randu(image, 0, 256);
  DetectOptions options;
  options.score_threshold = 0.001f;
  ASSERT_OK_AND_ASSIGN(const std::vector<Detection> want, expected->Detect(image, options));
  ASSERT_OK_AND_ASSIGN(const std::vector<Detection> got, wrapped->Detect(image, options));
  ASSERT_GT(want.size(), 0u);
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_EQ(got[i].score, want[i].score);
}

TEST(DetectionModelTest, ClassesAreThoseOfTheFlagAndInTheVersion) {
  const std::string checkpoint = std::string(DUET_TEST_DATA) + "/detector/tiny.pth";
  auto own = DetectionModel::Load({.checkpoint = checkpoint});
  ASSERT_THAT(own, IsOk());
  std::string names = "x0";
  for (std::size_t i = 1; i < (*own)->classes().size(); ++i) names += ",x" + std::to_string(i);
  auto named = DetectionModel::Load({.checkpoint = checkpoint, .classes = names});
  ASSERT_THAT(named, IsOk());

  EXPECT_EQ((*named)->classes()[1], "x1");
  EXPECT_NE((*named)->version(), (*own)->version());
  EXPECT_THAT(DetectionModel::Load({.checkpoint = checkpoint, .classes = "one"}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--classes has 1")));
  EXPECT_THAT(DetectionModel::Load({.checkpoint = checkpoint, .classes = "/no/such"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no such file")));
}

TEST(FitImageTest, NoSideVanishes) {
  for (const cv::Size size : {cv::Size(5000, 1), cv::Size(1, 5000), cv::Size(1, 1)}) {
    for (const Resize resize : {Resize::kFit, Resize::kLetterbox, Resize::kStretch}) {
      SCOPED_TRACE(testing::Message() << size.width << "x" << size.height);
      DetectorSettings settings;
      settings.resize = resize;
      settings.input_size = {64, 64};
      const cv::Mat image(size, CV_8UC3, cv::Scalar(10, 120, 230));
      Placement placement;
      ASSERT_OK_AND_ASSIGN(const cv::Mat fitted, FitImage(image, settings, &placement));
      EXPECT_EQ(fitted.size(), cv::Size(64, 64));
      EXPECT_EQ(fitted.at<cv::Vec3b>(placement.top, placement.left), cv::Vec3b(10, 120, 230));
      // The image's far corner lies on the input, at least one pixel from the near one.
      EXPECT_GE(size.width * placement.scale_x, 1);
      EXPECT_GE(size.height * placement.scale_y, 1);
      EXPECT_LE(size.width * placement.scale_x + placement.left, 64);
      EXPECT_LE(size.height * placement.scale_y + placement.top, 64);
    }
  }
}

TEST(PlaceImageTest, InputsAreAsUpstreamPadsThem) {
  const auto input = [](const DetectorSettings& settings, vision::Size image) {
    return PlaceImage(image, settings).value().input;
  };
  // mmcv.rescale_size: the long side into the long one. Pad never cuts: a landscape in a portrait's
  // size makes a square.
  const DetectorSettings portrait = {.input_size = {512, 672}};
  EXPECT_EQ(input(portrait, {480, 640}), (vision::Size{512, 672}));
  EXPECT_EQ(input(portrait, {640, 480}), (vision::Size{672, 672}));
  EXPECT_FALSE(HasOneInputSize(portrait));

  const DetectorSettings divided = {
      .input_size = {1333, 800}, .pad_size = vision::Size{0, 0}, .batch_multiple = 32};
  const Placement place = PlaceImage({640, 480}, divided).value();
  EXPECT_EQ(place.padded, (vision::Size{1067, 800}));  // what mmdet clamps boxes to
  EXPECT_EQ(place.input, (vision::Size{1088, 800}));
  EXPECT_EQ(input(divided, {1000, 250}), (vision::Size{1344, 352}));
  EXPECT_FALSE(HasOneInputSize(divided));

  EXPECT_TRUE(HasOneInputSize({}));
  EXPECT_TRUE(HasOneInputSize({.resize = Resize::kStretch, .input_size = {640, 352}}));
}

TEST(PlaceImageTest, WhatTheNetworkCannotRunIsRefused) {
  const DetectorSettings landscape = {.input_size = {640, 352}};
  EXPECT_EQ(PlaceImage({640, 480}, landscape).value().input, (vision::Size{640, 352}));
  EXPECT_THAT(PlaceImage({480, 640}, landscape),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::AllOf(HasSubstr("480 x 640"), HasSubstr("640 x 469"),
                                      HasSubstr("--input_size=640x352"))));
  const DetectorSettings huge = {.resize = Resize::kNone, .pad_size = vision::Size{0, 0}};
  EXPECT_THAT(PlaceImage({8192, 64}, huge),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("up to 4096")));
}

TEST(DetectionModelTest, AnInputSizeTakesImagesOfAnyShape) {
  auto model =
      DetectionModel::Load({.checkpoint = std::string(DUET_TEST_DATA) + "/detector/rtmdet_nano.pth",
                            .input_size = vision::Size{128, 96}});
  ASSERT_THAT(model, IsOk());
  for (const cv::Size size : {cv::Size(40, 30), cv::Size(30, 40), cv::Size(300, 10)}) {
    const cv::Mat image(size, CV_8UC3, cv::Scalar::all(90));
    EXPECT_THAT((*model)->Detect(image, {.score_threshold = 0.001}), IsOk()) << size;
  }
}

TEST(DetectionModelTest, ClassAgnosticIsARequestsToSay) {
  auto model =
      DetectionModel::Load({.checkpoint = std::string(DUET_TEST_DATA) + "/detector/rtmdet_nano.pth",
                            .input_size = vision::Size{128, 128}});
  ASSERT_THAT(model, IsOk());
  cv::Mat image(128, 128, CV_8UC3);
  cv::randu(image, 0, 256);
  const auto count = [&](std::optional<bool> class_agnostic) {
    return (*model)
        ->Detect(image,
                 {.score_threshold = 0, .max_detections = 100000, .class_agnostic = class_agnostic})
        .value()
        .size();
  };
  EXPECT_EQ(count({}), count(false));
  EXPECT_LT(count(true), count(false));
}

}  // namespace
}  // namespace detector
