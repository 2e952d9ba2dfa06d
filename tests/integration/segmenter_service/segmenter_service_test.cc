// The service over a real socket: with a fake network for what the wire does, with a small real one
// for the whole way from picture to mask.
#include "segmenter_service/rpc/segmenter_service.h"

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <future>
#include <opencv2/imgcodecs.hpp>

#include "tests/testing/segmenter_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/segmenter_service/fake_network.h"
#include "vision/mask_rle.h"

namespace segmenter {
namespace {

namespace pb = duet::segmenter::v1;
using duet_testing::IsOk;
using Server = duet_testing::SegmenterServer;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;

std::string PngOf(int width, int height) {
  std::vector<std::uint8_t> bytes;
  cv::imencode(".png", cv::Mat(height, width, CV_8UC3, cv::Scalar(10, 20, 30)), bytes);
  return {bytes.begin(), bytes.end()};
}

std::shared_ptr<ServedModel> FakeModel(std::shared_ptr<FakeNetwork> network) {
  auto model = std::make_shared<ServedModel>();
  model->name = "fake";
  model->version = "fake-1";
  model->network = std::move(network);
  return model;
}

pb::Prompt* AddPoint(pb::SegmentRequest* request, float x, float y, int label = 1) {
  pb::Prompt* prompt = request->add_prompts();
  pb::Point* point = prompt->add_points();
  point->set_x(x);
  point->set_y(y);
  point->set_label(label);
  return prompt;
}

class SegmenterServiceTest : public testing::Test {
 protected:
  std::shared_ptr<FakeNetwork> network_ = std::make_shared<FakeNetwork>();
  duet_testing::TempDir folder_;
  Server server_{FakeModel(network_), {.image_root = folder_.path()}};
};

TEST_F(SegmenterServiceTest, EmbedsOnceAndAnswersByImageId) {
  const std::string picture = PngOf(20, 10);
  ASSERT_OK_AND_ASSIGN(const pb::EmbedResponse embedded, server_.Embed(picture));
  EXPECT_EQ(embedded.image_id(), ImageIdOf(picture));
  EXPECT_EQ(embedded.width(), 20u);
  EXPECT_EQ(embedded.height(), 10u);
  EXPECT_FALSE(embedded.cached());
  EXPECT_EQ(embedded.model_version(), "fake-1");

  pb::SegmentRequest request;
  request.set_image_id(embedded.image_id());
  AddPoint(&request, 5, 5);
  ASSERT_OK_AND_ASSIGN(const pb::SegmentResponse response, server_.Segment(request));

  EXPECT_TRUE(response.embedding_cached());
  EXPECT_EQ(response.image_width(), 20u);
  ASSERT_EQ(response.results_size(), 1);
  ASSERT_EQ(response.results(0).masks_size(), 1);
  const pb::Mask& mask = response.results(0).masks(0);
  EXPECT_EQ(mask.iou_score(), 0.5f);
  EXPECT_EQ(mask.area(), 200u);  // the fake's logits are above 0 everywhere
  EXPECT_EQ(mask.box().x_max(), 20.0f);
  EXPECT_EQ(mask.rle().counts(),
            vision::EncodeCocoRle(vision::MaskFromPixels(cv::Mat(10, 20, CV_8UC1, cv::Scalar(1)))));
  EXPECT_EQ(network_->encodes, 1);
}

TEST_F(SegmenterServiceTest, SegmentWithAPictureEncodesItFirst) {
  pb::SegmentRequest request;
  request.mutable_image()->set_data(PngOf(20, 10));
  AddPoint(&request, 5, 5);
  request.set_multimask_output(true);

  ASSERT_OK_AND_ASSIGN(const pb::SegmentResponse response, server_.Segment(request));

  EXPECT_FALSE(response.embedding_cached());
  EXPECT_EQ(response.results(0).masks_size(), 3);
}

TEST_F(SegmenterServiceTest, AnAnswerThatNobodyWaitsForHasTheRankOfABatch) {
  const auto waited = [&](int rank, int count) {
    return HasSubstr(absl::StrCat("duet_queue_seconds_count{queue=\"segmenter\",rank=\"", rank,
                                  "\"} ", count, "\n"));
  };
  pb::SegmentRequest request;
  request.mutable_image()->set_data(PngOf(20, 10));
  AddPoint(&request, 5, 5);
  request.set_background(true);

  ASSERT_THAT(server_.Segment(request), IsOk());
  EXPECT_THAT(server_.metrics().Text(), waited(kBatchRank, 2)) << "the encoder and the decoder";
  request.set_background(false);
  ASSERT_THAT(server_.Segment(request), IsOk());
  EXPECT_THAT(server_.metrics().Text(), waited(kSegmentRank, 1));
}

TEST_F(SegmenterServiceTest, AnUnknownImageIdIsNotFound) {
  pb::SegmentRequest request;
  request.set_image_id("0123");
  AddPoint(&request, 5, 5);

  EXPECT_THAT(server_.Segment(request),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("0123"), HasSubstr("send"))));
}

TEST_F(SegmenterServiceTest, ErrorsNameThePromptAndComeBeforeEncoding) {
  pb::SegmentRequest request;
  request.mutable_image()->set_data(PngOf(20, 10));
  AddPoint(&request, 5, 5);
  const auto refused = [&](const std::string& text) {
    EXPECT_THAT(server_.Segment(request),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  };

  pb::Prompt* second = AddPoint(&request, 50, 5);
  refused("prompts[1]: points[0] (50, 5) lies outside the 20x10 pixel image");
  second->clear_points();
  refused("prompts[1]: is empty");
  second->set_mask_logits("abcde");
  refused("prompts[1]: mask_logits has 5 bytes");
  second->set_mask_logits(std::string(64, '\0'));
  refused("prompts[1]: mask_logits holds 16 values; this model needs 16x16");
  request.clear_prompts();
  refused("prompts is empty");
  EXPECT_EQ(network_->encodes, 0);
}

TEST_F(SegmenterServiceTest, SendsJustTheFormatsAskedFor) {
  pb::SegmentRequest request;
  request.mutable_image()->set_data(PngOf(20, 10));
  AddPoint(&request, 5, 5);
  for (const pb::MaskFormat format : {pb::MASK_FORMAT_ROW_RUNS, pb::MASK_FORMAT_POLYGONS,
                                      pb::MASK_FORMAT_PNG, pb::MASK_FORMAT_LOW_RES_LOGITS}) {
    request.add_formats(format);
  }
  ASSERT_OK_AND_ASSIGN(const pb::SegmentResponse response, server_.Segment(request));

  const pb::Mask& mask = response.results(0).masks(0);
  EXPECT_FALSE(mask.has_rle());
  EXPECT_THAT(mask.row_runs().counts(), testing::ElementsAre(0, 200));
  ASSERT_EQ(mask.polygons_size(), 1);
  EXPECT_EQ(mask.polygons(0).xy_size(), 8);
  EXPECT_FALSE(mask.polygons(0).hole());
  EXPECT_EQ(mask.low_res_logits().size(), 16 * 16 * sizeof(float));
  const cv::Mat png =
      cv::imdecode(std::vector<char>(mask.png().begin(), mask.png().end()), cv::IMREAD_UNCHANGED);
  EXPECT_EQ(png.type(), CV_8UC1);
  EXPECT_EQ(png.at<std::uint8_t>(9, 19), 255);

  request.add_formats(pb::MASK_FORMAT_UNSPECIFIED);
  EXPECT_THAT(server_.Segment(request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("formats[4]")));
}

TEST_F(SegmenterServiceTest, RefiningStartsFromTheAnswerBefore) {
  pb::SegmentRequest request;
  request.mutable_image()->set_data(PngOf(20, 10));
  request.set_refine(true);
  pb::Prompt* prompt = AddPoint(&request, 5, 5);
  ASSERT_THAT(server_.Segment(request), IsOk());
  EXPECT_TRUE(network_->last_prompts[0].mask_logits.empty());

  pb::Point* point = prompt->add_points();
  point->set_x(7);
  ASSERT_THAT(server_.Segment(request), IsOk());

  EXPECT_EQ(network_->last_prompts[0].mask_logits, std::vector<float>(16 * 16, 1.0f));
  request.set_refine(false);
  ASSERT_THAT(server_.Segment(request), IsOk());
  EXPECT_TRUE(network_->last_prompts[0].mask_logits.empty());
}

TEST_F(SegmenterServiceTest, ReadsFilesBelowImageRootOnly) {
  const std::string picture = PngOf(20, 10);
  folder_.Write("a b.png", picture);
  pb::SegmentRequest request;
  AddPoint(&request, 5, 5);
  const auto segment = [&](const std::string& uri) {
    request.mutable_image()->set_uri(uri);
    return server_.Segment(request);
  };

  ASSERT_OK_AND_ASSIGN(const pb::SegmentResponse response,
                       segment("file://" + folder_.path() + "/a%20b.png"));
  EXPECT_EQ(response.image_id(), ImageIdOf(picture));
  for (const std::string& uri :
       {std::string("file:///etc/passwd"), "file://" + folder_.path() + "/../secret",
        "file://" + folder_.path() + "/none.png"}) {
    EXPECT_THAT(segment(uri), StatusIs(absl::StatusCode::kInvalidArgument)) << uri;
  }
  EXPECT_THAT(segment("https://example.org/a.png"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("file:///")));
}

TEST_F(SegmenterServiceTest, ACancelledCallLeavesAndTheNextOneIsServed) {
  std::promise<void> reached, open;
  network_->on_block = [&](int block) {
    if (block != 0 || network_->encodes != 1) return;
    reached.set_value();
    open.get_future().wait();
  };
  pb::EmbedRequest request;
  request.mutable_image()->set_data(PngOf(20, 10));
  grpc::ClientContext call;
  pb::EmbedResponse response;
  auto embedding = std::async(std::launch::async,
                              [&] { return server_.stub().Embed(&call, request, &response); });
  reached.get_future().wait();

  call.TryCancel();

  EXPECT_EQ(embedding.get().error_code(), grpc::StatusCode::CANCELLED);
  open.set_value();
  ASSERT_THAT(server_.Embed(PngOf(30, 10)), IsOk());
  EXPECT_EQ(network_->encodes, 2);
}

TEST_F(SegmenterServiceTest, ReloadNeedsTheFlag) {
  grpc::ClientContext call;
  duet::vision::v1::ReloadModelResponse response;

  EXPECT_EQ(server_.stub().ReloadModel(&call, {}, &response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

// What follows runs the network of tests/data/segmenter.

const std::string kData = std::string(DUET_TEST_DATA) + "/segmenter/";

TEST(SegmenterEndToEndTest, AnswersAsTheReferenceThroughTheApi) {
  Server server(LoadModel(kData + "sam_a.pth", {}).value(), {});
  ASSERT_THAT(server.engine().WarmUp(), IsOk());
  pb::SegmentRequest request;
  request.mutable_image()->set_data(duet_testing::ReadFile(kData + "a2.png"));
  AddPoint(&request, 104, 187);  // "point_single" of goldens.json

  ASSERT_OK_AND_ASSIGN(const pb::SegmentResponse response, server.Segment(request));

  EXPECT_EQ(response.model_version().rfind("sam-vit-64x4-1024-", 0), 0u);
  const pb::Mask& mask = response.results(0).masks(0);
  EXPECT_NEAR(mask.iou_score(), 0.9504441618919373, 1e-5);
  ASSERT_OK_AND_ASSIGN(const vision::Mask decoded,
                       vision::DecodeCocoRle({1200, 300}, mask.rle().counts()));
  const cv::Mat golden =
      cv::imread(kData + "sam_a2_masks.png", cv::IMREAD_GRAYSCALE).rowRange(0, 300);
  const vision::Mask expected = vision::MaskFromPixels(golden);
  EXPECT_NEAR(static_cast<double>(mask.area()), static_cast<double>(vision::Area(expected)), 15);
}

TEST(SegmenterEndToEndTest, ReloadsWithinModelRootAndKeepsTheOldModelOnErrors) {
  duet_testing::TempDir folder;
  std::filesystem::copy(kData + "sam_a.pth", folder.path() + "/good.pth");
  folder.Write("bad.pth", "no checkpoint");
  Server server(FakeModel(std::make_shared<FakeNetwork>()),
                {.enable_reload = true, .model_root = folder.path()});
  const auto reload = [&](const std::string& name,
                          duet::vision::v1::ReloadModelResponse* response) {
    grpc::ClientContext call;
    duet::vision::v1::ReloadModelRequest request;
    request.set_checkpoint(name);
    return serving::FromGrpc(server.stub().ReloadModel(&call, request, response));
  };
  duet::vision::v1::ReloadModelResponse response;

  EXPECT_THAT(reload("bad.pth", &response), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(reload("../good.pth", &response),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("../good.pth")));
  // What lies beside it is read as well, and must not lead out either.
  duet_testing::TempDir outside;
  std::filesystem::create_symlink(outside.Write("side.json", "{}"),
                                  folder.path() + "/good.pth.json");
  EXPECT_THAT(reload("good.pth", &response),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("good.pth.json"), HasSubstr("leads out"))));
  std::filesystem::remove(folder.path() + "/good.pth.json");
  EXPECT_EQ(server.engine().model()->version, "fake-1");
  ASSERT_THAT(reload("good.pth", &response), IsOk());

  EXPECT_EQ(response.previous_version(), "fake-1");
  EXPECT_EQ(response.model().name(), "sam-vit-64x4-1024");
  EXPECT_GT(response.peak_memory_bytes(), 1'000'000u);
  EXPECT_EQ(server.engine().model()->version, response.model().version());
}

}  // namespace
}  // namespace segmenter
