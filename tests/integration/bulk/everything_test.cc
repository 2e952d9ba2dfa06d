// duet prelabel --masks=everything against a segmenter over real gRPC: what is asked, what becomes
// of the masks, resuming, refusals.
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "tests/integration/bulk/command_test.h"
#include "tests/integration/gateway/fake_services.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"
#include "vision/box.h"
#include "vision/mask.h"
#include "vision/mask_rle.h"

namespace bulk {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
namespace segmenter = duet::segmenter::v1;
using bulk_testing::Gif;
using duet_testing::ReadFile;
using duet_testing::Subprocess;
using gateway::testing::FakeServices;
using ::testing::HasSubstr;
using ::testing::Not;

// The size that the fake segmenter says of all images.
constexpr vision::Size kSize = {320, 240};

// A rectangle of pixels.
vision::Mask Rectangle(int x, int y, int width, int height) {
  vision::Mask mask{.size = kSize, .spans = {}};
  for (int row = y; row < y + height; ++row) mask.spans.push_back({row, x, x + width});
  return mask;
}

void AddMask(const vision::Mask& mask, float iou, auto* stream) {
  auto& sent = *stream->emplace_back().mutable_mask()->mutable_mask();
  sent.set_iou_score(iou);
  sent.set_stability_score(0.97F);
  sent.mutable_rle()->set_width(kSize.width);
  sent.mutable_rle()->set_height(kSize.height);
  sent.mutable_rle()->set_counts(vision::EncodeCocoRle(mask));
  if (mask.spans.empty()) return;
  const vision::Box box = vision::TightBox(mask);
  sent.mutable_box()->set_x_min(box.x_min);
  sent.mutable_box()->set_y_min(box.y_min);
  sent.mutable_box()->set_x_max(box.x_max);
  sent.mutable_box()->set_y_max(box.y_max);
}

class EverythingTest : public bulk_testing::CommandTest {
 protected:
  EverythingTest() {
    services_.on_everything = [this](grpc::ServerContext&, const auto& request, auto* stream) {
      std::function<grpc::Status(int)> answer;
      int call = 0;
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
        call = static_cast<int>(requests_.size());
        answer = answer_;
      }
      const grpc::Status status = answer ? answer(call) : grpc::Status::OK;
      if (!status.ok()) return status;
      AddMask(Rectangle(100, 20, 40, 30), 0.91F, stream);
      AddMask(Rectangle(10, 50, 8, 4), 1.02F, stream);
      AddMask(Rectangle(0, 0, 0, 0), 0.5F, stream);
      return grpc::Status::OK;
    };
  }

  // Of all calls from now on; it is told their number.
  void Answer(std::function<grpc::Status(int call)> answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  std::vector<segmenter::SegmentEverythingRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  std::unique_ptr<Subprocess> Start(const std::string& source, const std::string& out,
                                    const std::vector<std::string>& flags = {}) {
    std::vector<std::string> command = {DUET_COMMAND,
                                        "prelabel",
                                        source,
                                        "--out=" + out,
                                        "--segmenter=" + services_.address(),
                                        "--masks=everything"};
    command.insert(command.end(), flags.begin(), flags.end());
    return std::make_unique<Subprocess>(command);
  }
  Ended Run(const std::string& source, const std::string& out,
            const std::vector<std::string>& flags = {}) {
    const auto process = Start(source, out, flags);
    return AwaitEnd(*process);
  }

  mutable std::mutex mutex_;
  std::vector<segmenter::SegmentEverythingRequest> requests_;  // guarded by mutex_
  std::function<grpc::Status(int call)> answer_;               // guarded by mutex_
  FakeServices services_;
};

TEST_F(EverythingTest, EveryMaskIsAnObjectBestFirstAndNoDetectorIsAsked) {
  const std::string out = Out("found.json");

  const Ended ended = Run(Images(3), out);

  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(services_.count("Detect"), 0);
  for (const auto& request : requests()) {
    ASSERT_EQ(request.formats_size(), 1);
    EXPECT_EQ(request.formats(0), segmenter::MASK_FORMAT_COCO_RLE);
    EXPECT_FALSE(request.has_points_per_side());
  }
  const json::value coco = json::parse(ReadFile(out));
  EXPECT_EQ(coco.at("categories").as_array().size(), 1U);
  EXPECT_EQ(coco.at("categories").at(0).at("name"), "object");
  ASSERT_EQ(coco.at("annotations").as_array().size(), 6U) << "a mask without a pixel is none";
  const json::value& first = coco.at("annotations").at(0);
  const json::value& second = coco.at("annotations").at(1);
  EXPECT_EQ(first.at("bbox"), json::parse("[10, 50, 8, 4]"));
  EXPECT_EQ(first.at("score").to_number<double>(), 1);  // 1.02 is the model's estimate of an IoU
  EXPECT_EQ(first.at("segmentation").at("counts"),
            json::value(vision::EncodeCocoRle(Rectangle(10, 50, 8, 4))));
  EXPECT_EQ(second.at("bbox"), json::parse("[100, 20, 40, 30]"));
  EXPECT_FLOAT_EQ(second.at("score").to_number<float>(), 0.91F);
}

TEST_F(EverythingTest, ParametersAreSentAndBelongToTheRun) {
  const std::string images = Images(1);
  const std::string out = Out("found.json");
  const std::string file = folder_.Write(
      "generator.json", R"({"pred_iou_thresh": 0.5, "pointsPerSide": 16, "crop_n_layers": 1})");

  const Ended ended = Run(images, out, {"--mask_generator=" + file});
  const Ended other = Run(images, out);
  const Ended same = Run(
      images, out,
      {R"(--mask_generator={"points_per_side": 16, "crop_n_layers": 1, "pred_iou_thresh": 0.5})"});

  ASSERT_EQ(ended.code, 0) << ended.err;
  ASSERT_EQ(requests().size(), 1U);
  EXPECT_EQ(requests()[0].points_per_side(), 16U);
  EXPECT_EQ(requests()[0].pred_iou_thresh(), 0.5F);
  EXPECT_EQ(requests()[0].crop_n_layers(), 1U);
  EXPECT_FALSE(requests()[0].has_stability_score_thresh());
  EXPECT_EQ(other.code, 2);
  EXPECT_THAT(other.err, HasSubstr("the automatic mask generator was {\"points_per_side\":16,"
                                   "\"pred_iou_thresh\":0.5,\"crop_n_layers\":1} and is now {}"));
  EXPECT_EQ(same.code, 0) << same.err;
}

TEST_F(EverythingTest, AKilledRunEndsInTheSameBytes) {
  const std::string images = Images(60);
  ASSERT_EQ(Run(images, Out("whole.json")).code, 0);
  std::promise<pid_t> started;
  std::shared_future<pid_t> pid = started.get_future().share();
  Answer([=](int call) {
    if (call == 60 + 40) kill(pid.get(), SIGKILL);
    return grpc::Status::OK;
  });
  const auto killed = Start(images, Out("killed.json"));
  started.set_value(killed->pid());
  EXPECT_EQ(killed->Wait(), -SIGKILL) << killed->err();
  Answer(nullptr);

  const Ended ended = Run(images, Out("killed.json"));

  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("were done before"));
  EXPECT_EQ(ReadFile(Out("killed.json")), ReadFile(Out("whole.json")));
}

TEST_F(EverythingTest, ParametersThatTheSegmenterRefusesEndTheRunAndLeaveNothing) {
  const std::string images = Images(20);
  const std::string out = Out("found.json");
  Answer([](int) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                        "points_per_side is 0; it must be from 1 to 256");
  });

  const Ended refused = Run(images, out, {R"(--mask_generator={"points_per_side": 0})"});
  Answer(nullptr);
  const Ended ended = Run(images, out);

  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("points_per_side is 0; it must be from 1 to 256"));
  EXPECT_THAT(refused.err, Not(HasSubstr("0.gif"))) << "it isn't an image's fault";
  EXPECT_EQ(ended.code, 0) << ended.err;
}

TEST_F(EverythingTest, WhatIsNoParameterIsOneSentence) {
  const std::string images = Images(1);
  const auto said = [&](const std::vector<std::string>& flags) {
    const Ended ended = Run(images, Out("found.json"), flags);
    EXPECT_EQ(ended.code, 2);
    return ended.err;
  };
  EXPECT_THAT(said({R"(--mask_generator={"points": 16})"}),
              HasSubstr("--mask_generator: {\"points\": 16}: "));
  EXPECT_THAT(said({R"(--mask_generator={"points": 16})"}),
              HasSubstr("needed: a JSON object with parameters of SamAutomaticMaskGenerator"));
  EXPECT_THAT(said({R"(--mask_generator={"image_id": "x"})"}),
              HasSubstr("the run itself sets the image"));
  EXPECT_THAT(said({"--slice=512"}), HasSubstr("needed: --mask_generator with crop_n_layers"));
  EXPECT_THAT(said({"--score_threshold=0.2"}),
              HasSubstr("needed: --mask_generator with pred_iou_thresh"));
  EXPECT_THAT(said({"--masks=rle", "--mask_generator={}"}),
              HasSubstr("--mask_generator is given without --masks=everything"));
  EXPECT_THAT(said({"--segmenter="}), HasSubstr("no segmenter is named; needed: --segmenter="));
  EXPECT_TRUE(requests().empty());
  EXPECT_FALSE(fs::exists(Out("found.json.journal")));
}

TEST_F(EverythingTest, OtherFormatsOfTheSameMasksAskNothing) {
  const std::string images = Images(1);
  const std::string out = Out("found");
  ASSERT_EQ(Run(images, out).code, 0);
  const std::string config = folder_.Write(
      "config.xml",
      R"(<View><Image name="img" value="$photo"/><BrushLabels name="brush" toName="img">)"
      R"(<Label value="object"/></BrushLabels></View>)");

  const Ended polygons = Run(images, out, {"--masks=everything-polygons"});
  ASSERT_EQ(polygons.code, 0) << polygons.err;
  EXPECT_EQ(json::parse(ReadFile(out)).at("annotations").at(0).at("segmentation").at(0),
            json::parse("[10, 50, 18, 50, 18, 54, 10, 54]"));

  const Ended tasks = Run(images, out, {"--format=label-studio", "--label_config=" + config});
  ASSERT_EQ(tasks.code, 0) << tasks.err;
  const json::value task = json::parse(ReadFile(out)).at(0);
  const json::value& prediction = task.at("predictions").at(0);
  EXPECT_EQ(prediction.at("result").as_array().size(), 2U);
  EXPECT_EQ(prediction.at("result").at(0).at("value").at("brushlabels").at(0), "object");
  EXPECT_THAT(std::string(prediction.at("model_version").as_string()), HasSubstr("everything+"));

  fs::remove(out);
  const Ended png = Run(images, Out("found"), {"--format=png"});
  ASSERT_EQ(png.code, 0) << png.err;
  const cv::Mat instances = cv::imread(out + "/instances/0/0.png", cv::IMREAD_UNCHANGED);
  ASSERT_EQ(instances.size(), cv::Size(kSize.width, kSize.height));
  EXPECT_EQ(cv::countNonZero(instances == 1), 8 * 4);
  EXPECT_EQ(cv::countNonZero(instances == 2), 40 * 30);
  EXPECT_EQ(requests().size(), 1U);
}

TEST_F(EverythingTest, ASegmenterThatIsReplacedMeanwhileEndsTheRun) {
  const std::string images = Images(100);
  Answer([&](int call) {
    if (call == 20) services_.Serve("d1", "s2");
    return grpc::Status::OK;
  });

  const Ended ended = Run(images, Out("found.json"));

  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.err, HasSubstr("the segmenter serves the model s2 now, and this run was begun "
                                   "with s1"));
}

}  // namespace
}  // namespace bulk
