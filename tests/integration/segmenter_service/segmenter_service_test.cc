// The service over a real socket: with a fake network for what the wire does, with a small real one
// for the whole way from picture to mask.
#include "segmenter_service/rpc/segmenter_service.h"

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <future>
#include <opencv2/imgcodecs.hpp>
#include <tuple>
#include <utility>

#include "checkpoint/safetensors_writer.h"
#include "nn/onednn/cpu.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/segmenter_server.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/segmenter_service/inference/fake_network.h"
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

std::shared_ptr<ServedModel> FakeModel(std::shared_ptr<FakeNetwork> network,
                                       const char* version = "fake-1",
                                       const char* encoder = "encoder-1") {
  auto model = std::make_shared<ServedModel>();
  model->name = "fake";
  model->version = version;
  model->encoder = encoder;
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
  Server server_{FakeModel(network_), folder_.path()};
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
  const auto waited = [&](serving::Priority priority, int count) {
    return HasSubstr(absl::StrCat("duet_queue_seconds_count{queue=\"segmenter\",rank=\"",
                                  static_cast<int>(priority), "\"} ", count, "\n"));
  };
  pb::SegmentRequest request;
  request.mutable_image()->set_data(PngOf(20, 10));
  AddPoint(&request, 5, 5);
  request.set_background(true);

  ASSERT_THAT(server_.Segment(request), IsOk());
  EXPECT_THAT(server_.metrics().Text(), waited(serving::Priority::kBatch, 2))
      << "the encoder and the decoder";
  request.set_background(false);
  ASSERT_THAT(server_.Segment(request), IsOk());
  EXPECT_THAT(server_.metrics().Text(), waited(serving::Priority::kInteractive, 1));
}

TEST_F(SegmenterServiceTest, APreviewStandsBehindClicks) {
  pb::SegmentRequest request;
  request.mutable_image()->set_data(PngOf(20, 10));
  AddPoint(&request, 5, 5);
  ASSERT_THAT(server_.Segment(request), IsOk());

  request.set_hover(true);
  ASSERT_THAT(server_.Segment(request), IsOk());

  // The encoder, as of an opened task, and the preview.
  EXPECT_THAT(server_.metrics().Text(),
              HasSubstr("duet_queue_seconds_count{queue=\"segmenter\",rank=\"1\"} 2\n"));
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

TEST_F(SegmenterServiceTest, AnswersTellWhichModelMadeThem) {
  ASSERT_OK_AND_ASSIGN(const pb::EmbedResponse embedded, server_.Embed(PngOf(20, 10)));
  EXPECT_EQ(embedded.model().name(), "default");
  EXPECT_EQ(embedded.model().version(), "fake-1");

  pb::SegmentRequest request;
  request.set_image_id(embedded.image_id());
  AddPoint(&request, 5, 5);
  ASSERT_OK_AND_ASSIGN(const pb::SegmentResponse answer, server_.Segment(request));
  EXPECT_EQ(answer.model().name(), "default");
  EXPECT_EQ(answer.model().version(), "fake-1");

  grpc::ClientContext call;
  pb::SegmentEverythingRequest everything;
  everything.set_image_id(embedded.image_id());
  everything.set_points_per_side(2);
  everything.set_pred_iou_thresh(0);
  everything.set_stability_score_thresh(0);
  const auto stream = server_.stub().SegmentEverything(&call, everything);
  pb::SegmentEverythingResponse event;
  int events = 0;
  for (; stream->Read(&event); ++events) EXPECT_EQ(event.model().version(), "fake-1");
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_GT(events, 1);
}

TEST_F(SegmenterServiceTest, TheModelThatIsAskedForAnswersOrNone) {
  const std::string picture = PngOf(20, 10);
  ASSERT_THAT(server_.Embed(picture), IsOk());
  for (const auto& [name, version, served] : {std::tuple("", "", true),
                                              {"default", "fake-1", true},
                                              {"", "fake-2", false},
                                              {"project-7", "fake-1", false}}) {
    SCOPED_TRACE(absl::StrCat(name, " ", version));
    const auto wanted = served ? grpc::StatusCode::OK : grpc::StatusCode::FAILED_PRECONDITION;
    const auto code = [&](auto method, auto request, auto response) {
      request.mutable_model()->set_name(name);
      request.mutable_model()->set_version(version);
      grpc::ClientContext call;
      return (server_.stub().*method)(&call, request, &response).error_code();
    };
    pb::EmbedRequest embed;
    embed.mutable_image()->set_data(picture);
    EXPECT_EQ(code(&pb::Segmenter::Stub::Embed, embed, pb::EmbedResponse()), wanted);
    // An unknown picture says NOT_FOUND, but not before the model is the right one.
    pb::SegmentRequest segment;
    segment.set_image_id(served ? ImageIdOf(picture) : "unknown");
    AddPoint(&segment, 5, 5);
    EXPECT_EQ(code(&pb::Segmenter::Stub::Segment, segment, pb::SegmentResponse()), wanted);
    EXPECT_EQ(code(&pb::Segmenter::Stub::GetModel, pb::GetModelRequest(), pb::GetModelResponse()),
              wanted);
  }
}

TEST_F(SegmenterServiceTest, AnotherDecoderUsesTheEmbeddingsAndNoneOfTheMasks) {
  const std::string picture = PngOf(20, 10);
  ASSERT_THAT(server_.Embed(picture), IsOk());
  pb::SegmentRequest request;
  request.set_image_id(ImageIdOf(picture));
  request.set_refine(true);
  AddPoint(&request, 5, 5);
  ASSERT_THAT(server_.Segment(request), IsOk());
  const auto fine_tuned = std::make_shared<FakeNetwork>();
  server_.host().Replace(FakeModel(fine_tuned, "fake-2", "encoder-1"));

  pb::Point* second = request.mutable_prompts(0)->add_points();
  second->set_x(6);
  second->set_label(1);
  ASSERT_OK_AND_ASSIGN(const pb::SegmentResponse answer, server_.Segment(request));

  EXPECT_EQ(answer.model().version(), "fake-2");
  EXPECT_EQ(fine_tuned->encodes, 0);
  EXPECT_THAT(fine_tuned->last_prompts.at(0).mask_logits, testing::IsEmpty());

  // Another encoder's embeddings are none of ours.
  server_.host().Replace(FakeModel(network_, "fake-3", "encoder-1-bf16"));
  EXPECT_THAT(server_.Segment(request), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SegmenterServiceTest, ReloadNeedsTheFlag) {
  grpc::ClientContext call;
  duet::vision::v1::ReloadModelResponse response;

  EXPECT_EQ(server_.stub().ReloadModel(&call, {}, &response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(SegmenterServiceTest, ReloadRefusesAConfigFile) {
  grpc::ClientContext call;
  duet::vision::v1::ReloadModelRequest request;
  request.set_config_file("a.py");
  duet::vision::v1::ReloadModelResponse response;
  EXPECT_EQ(server_.stub().ReloadModel(&call, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT)
      << "whether or not files may be named";
}

TEST_F(SegmenterServiceTest, AReloadIsAbortedWhileAnotherOneRuns) {
  std::promise<void> entered, go_on;
  const ModelHost::Loader load =
      [&](const ServedModel&,
          const model_service::ReloadFiles&) -> absl::StatusOr<std::shared_ptr<const ServedModel>> {
    entered.set_value();
    go_on.get_future().wait();
    return FakeModel(network_, "fake-2");
  };
  Server server(FakeModel(network_), /*image_root=*/"", {.enabled = true}, load);
  const auto reload = [&] {
    grpc::ClientContext call;
    duet::vision::v1::ReloadModelResponse response;
    return serving::FromGrpc(server.stub().ReloadModel(&call, {}, &response));
  };
  std::future<absl::Status> first = std::async(std::launch::async, reload);
  entered.get_future().wait();

  EXPECT_THAT(reload(), StatusIs(absl::StatusCode::kAborted, "another reload is running"));
  EXPECT_EQ(server.host().Current()->version, "fake-1");
  go_on.set_value();
  EXPECT_THAT(first.get(), IsOk());
  EXPECT_EQ(server.host().Current()->version, "fake-2");
}

// What follows runs the network of tests/data/segmenter.

const std::string kData = std::string(DUET_TEST_DATA) + "/segmenter/";

TEST(SegmenterEndToEndTest, AnswersAsTheReferenceThroughTheApi) {
  Server server(LoadModel({kData + "sam_a.pth"}, {}).value());
  ASSERT_THAT(server.WarmUp(), IsOk());
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

TEST(SegmenterEndToEndTest, OneRowAndOneColumnAreAnswered) {
  for (const char* file : {"sam_a.pth", "sam2.1_a.pth"}) {
    Server server(LoadModel({kData + file}, {}).value());
    for (const auto& [width, height] : {std::pair(5000, 1), std::pair(1, 5000), std::pair(1, 1)}) {
      SCOPED_TRACE(absl::StrCat(file, " ", width, "x", height));
      pb::SegmentRequest request;
      request.mutable_image()->set_data(PngOf(width, height));
      AddPoint(&request, static_cast<float>(width) / 2, static_cast<float>(height) / 2);
      auto* const box = request.add_prompts()->mutable_box();
      box->set_x_max(static_cast<float>(width));
      box->set_y_max(static_cast<float>(height));

      ASSERT_OK_AND_ASSIGN(const pb::SegmentResponse response, server.Segment(request));

      EXPECT_EQ(response.image_width(), static_cast<std::uint32_t>(width));
      ASSERT_EQ(response.results_size(), 2);
      for (const auto& result : response.results()) {
        const pb::Mask& mask = result.masks(0);
        EXPECT_TRUE(std::isfinite(mask.iou_score()));
        ASSERT_OK_AND_ASSIGN(const vision::Mask decoded,
                             vision::DecodeCocoRle({width, height}, mask.rle().counts()));
        EXPECT_EQ(static_cast<std::int64_t>(mask.area()), vision::Area(decoded));
      }
    }
  }
}

TEST_F(SegmenterServiceTest, ADamagedImageIsEmbeddedCountedAndLogged) {
  const duet_testing::LogCapture log;
  const std::string jpeg = duet_testing::ReadFile(DUET_TEST_DATA "/images/rgb.jpg");
  EXPECT_THAT(server_.Embed(jpeg), IsOk());
  EXPECT_THAT(server_.metrics().Text(), HasSubstr("duet_damaged_images_total 0"));
  ASSERT_OK_AND_ASSIGN(const pb::EmbedResponse embedded,
                       server_.Embed(jpeg.substr(0, jpeg.size() * 7 / 10)));
  EXPECT_EQ(embedded.width(), 53u);
  EXPECT_THAT(server_.metrics().Text(), HasSubstr("duet_damaged_images_total 1"));
  EXPECT_THAT(
      log.lines("image.damaged"),
      testing::ElementsAre(AllOf(HasSubstr(embedded.image_id()), HasSubstr("\"request_id\":"))));
}

// A copy of `file` in which every value of the tensors with this prefix is `value`.
std::string WithConstant(const std::string& file, const std::string& prefix, float value,
                         const std::string& path) {
  const checkpoint::Checkpoint read = checkpoint::ReadCheckpoint(file).value();
  std::vector<std::vector<float>> storage;
  checkpoint::StateDict changed = read.state_dict;
  for (auto& [name, view] : changed) {
    if (name.rfind(prefix, 0) != 0) continue;
    storage.emplace_back(view.NumElements(), value);
    view.data = reinterpret_cast<const std::byte*>(storage.back().data());
    view.strides = checkpoint::ContiguousStrides(view.shape);
  }
  EXPECT_FALSE(storage.empty()) << prefix;
  EXPECT_TRUE(checkpoint::WriteSafetensors(path, changed, {}).ok());
  return path;
}

TEST(SegmenterVersionTest, WeightsOfTheDecoderAreNotInTheNameOfItsEmbeddings) {
  duet_testing::TempDir folder;
  struct Row {
    const char* file;
    const char* decoder;  // prefixes
    const char* encoder;
  };
  for (const Row& row : {
           Row{"sam_a.pth", "mask_decoder.iou_prediction_head.", "image_encoder.neck."},
           Row{"sam_a.pth", "prompt_encoder.not_a_point_embed.", "image_encoder.pos_embed"},
           Row{"hq_a.pth", "mask_decoder.hf_mlp.", "mask_decoder.compress_vit_feat."},
           Row{"mobile_sam_a.pth", "mask_decoder.transformer.", "image_encoder.neck."},
       }) {
    SCOPED_TRACE(absl::StrCat(row.file, " ", row.decoder));
    const auto load = [&](const std::string& path) { return LoadModel({path}, {}).value(); };
    const std::string copy = folder.path() + "/copy.safetensors";
    // The same weights in another format, first.
    const auto plain = load(kData + row.file);
    const auto other_decoder = load(WithConstant(kData + row.file, row.decoder, 0.25, copy));
    const auto other_encoder = load(WithConstant(kData + row.file, row.encoder, 0.25, copy));

    EXPECT_NE(plain->version, other_decoder->version);
    EXPECT_EQ(plain->encoder, other_decoder->encoder);
    EXPECT_NE(plain->encoder, other_encoder->encoder);
    EXPECT_NE(other_decoder->version, other_encoder->version);
  }
}

// Any input of the model's encoder.
std::vector<float> SomeInput(const ServedModel& model) {
  const int side = model.network->spec().image_size;
  std::vector<float> input(3 * side * side);
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = static_cast<float>(i % 251) / 125 - 1;
  return input;
}

TEST(SharedEncodersTest, NetworksOfOneEncoderHoldItOnce) {
  duet_testing::TempDir folder;
  const std::string copy = folder.path() + "/copy.safetensors";
  for (const char* file : {"sam_a.pth", "mobile_sam_a.pth"}) {
    SCOPED_TRACE(file);
    NetworkOptions options;
    options.shared_encoders = MakeSharedEncoders();
    const auto load = [](const std::string& path, const NetworkOptions& how) {
      return LoadModel({path}, how).value();
    };
    auto plain = load(kData + file, options);
    const std::string tuned_file = WithConstant(kData + file, "mask_decoder.", 0.25, copy);
    const auto tuned = load(tuned_file, options), alone = load(tuned_file, {});
    const auto other = load(WithConstant(kData + file, "image_encoder.neck.", 0.25, copy), options);

    EXPECT_FALSE(plain->network->spec().shares_encoder);
    EXPECT_TRUE(tuned->network->spec().shares_encoder);
    EXPECT_FALSE(alone->network->spec().shares_encoder);
    EXPECT_FALSE(other->network->spec().shares_encoder) << "it has another neck";
    EXPECT_GT(tuned->network->spec().packed_encoder_bytes, 0U);
    EXPECT_LT(tuned->network->spec().packed_encoder_bytes,
              std::filesystem::file_size(kData + file));

    plain.reset();  // what it packed stays
    const std::vector<float> input = SomeInput(*tuned);
    const auto encode = [&](const ServedModel& model) {
      return model.network->EncodeImage(input, [] { return absl::OkStatus(); }).value().maps;
    };
    const std::vector<FeatureMap> maps = encode(*tuned), expected = encode(*alone);
    ASSERT_EQ(maps.size(), expected.size());
    for (std::size_t i = 0; i < maps.size(); ++i) EXPECT_EQ(maps[i].data, expected[i].data);
  }
}

// Where clicks never cease, a new model warms up at their rank, thus within another one's encoding.
TEST(SharedEncodersTest, WarmingUpWithinAStepLeavesItsWorkAlone) {
  duet_testing::TempDir folder;
  const std::string copy = folder.path() + "/copy.safetensors";
  for (const char* file : {"sam_a.pth", "mobile_sam_a.pth"}) {
    SCOPED_TRACE(file);
    NetworkOptions options;
    options.shared_encoders = MakeSharedEncoders();
    const auto first = LoadModel({kData + file}, options).value();
    const auto tuned =
        LoadModel({WithConstant(kData + file, "mask_decoder.transformer.", 0.25, copy)}, options)
            .value();
    ASSERT_TRUE(tuned->network->spec().shares_encoder);
    const std::vector<float> input = SomeInput(*first);
    const auto proceed = [] { return absl::OkStatus(); };
    const Embedding expected = first->network->EncodeImage(input, proceed).value();

    int pauses = 0;
    const Embedding disturbed = first->network
                                    ->EncodeImage(input, proceed,
                                                  [&] {
                                                    if (++pauses > 1) return;
                                                    ASSERT_TRUE(tuned->network->WarmUp().ok());
                                                  })
                                    .value();

    EXPECT_GT(pauses, 0);
    ASSERT_EQ(disturbed.maps.size(), expected.maps.size());
    for (std::size_t i = 0; i < expected.maps.size(); ++i) {
      EXPECT_EQ(disturbed.maps[i].data, expected.maps[i].data) << "map " << i;
    }
  }
}

TEST(SegmenterVersionTest, FlagsAreInTheVersionAndTheEncodersAlsoInEmbeddings) {
  const auto load = [](const NetworkOptions& options) {
    return LoadModel({kData + "hq_a.pth"}, options).value();
  };
  const auto plain = load({}), half = load({.embedding_precision = "bf16"});
  const auto token_only = load({.hq_token_only = true}), threads = load({.threads = 1});

  EXPECT_NE(plain->version, half->version);
  EXPECT_NE(plain->encoder, half->encoder);
  EXPECT_NE(plain->version, token_only->version);
  EXPECT_EQ(plain->encoder, token_only->encoder) << "only the decoder reads it";
  EXPECT_EQ(plain->version, threads->version);
  const auto strict = load({.precision = "fp32-strict"});
  EXPECT_EQ(plain->version, strict->version);
  EXPECT_NE(plain->encoder, strict->encoder) << "others may store what it would not make";

  if (!nn::onednn::CpuHasBFloat16()) GTEST_SKIP() << "this CPU has no bf16";
  const auto bf16 = load({.precision = "bf16"});
  EXPECT_EQ(bf16->version != plain->version, nn::onednn::CpuGainsFromBFloat16());
  EXPECT_EQ(bf16->encoder != plain->encoder, nn::onednn::CpuGainsFromBFloat16());
}

TEST(SegmenterEndToEndTest, ReloadsWithinModelRootAndKeepsTheOldModelOnErrors) {
  duet_testing::TempDir folder;
  std::filesystem::copy(kData + "sam_a.pth", folder.path() + "/good.pth");
  folder.Write("bad.pth", "no checkpoint");
  Server server(FakeModel(std::make_shared<FakeNetwork>()),
                /*image_root=*/"", {.enabled = true, .model_root = folder.path()});
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
  EXPECT_EQ(server.host().Current()->version, "fake-1");
  ASSERT_THAT(reload("good.pth", &response), IsOk());

  EXPECT_EQ(response.previous_version(), "fake-1");
  EXPECT_EQ(response.model().name(), "sam-vit-64x4-1024");
  EXPECT_GT(response.peak_memory_bytes(), 1'000'000u);
  EXPECT_EQ(server.host().Current()->version, response.model().version());
}

}  // namespace
}  // namespace segmenter
