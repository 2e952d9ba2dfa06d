// The detector behind a real socket, with a small checkpoint of random weights.

#include "detector_service/rpc/detector_service.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <thread>
#include <vector>

#include "serving/grpc_server.h"
#include "tests/parity/detector_service/golden.h"
#include "tests/testing/log_capture.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "vision/mask_rle.h"

namespace detector {
namespace {

namespace pb = duet::detector::v1;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

MATCHER_P2(IsGrpcError, code, message, "") {
  *result_listener << arg.error_code() << ": " << arg.error_message();
  return arg.error_code() == code && testing::Value(arg.error_message(), message);
}

std::vector<Detection> FromProto(const pb::DetectResponse& response) {
  std::vector<Detection> detections;
  for (const pb::Detection& d : response.detections()) {
    detections.push_back(
        {.box = {d.box().x_min(), d.box().y_min(), d.box().x_max(), d.box().y_max()},
         .score = d.score(),
         .class_id = static_cast<int>(d.class_id())});
    if (d.has_rotated_box()) {
      const auto& box = d.rotated_box();
      detections.back().rotated_box = {
          {box.center_x(), box.center_y()}, box.width(), box.height(), box.angle()};
    }
    if (d.has_mask()) {
      const auto& mask = d.mask();
      detections.back().mask =
          vision::DecodeCocoRle({static_cast<int>(mask.width()), static_cast<int>(mask.height())},
                                mask.counts())
              .value();
    }
  }
  return detections;
}

class DetectorServiceTest : public testing::Test {
 protected:
  // One model for all tests: compiling it is most of their time.
  static void SetUpTestSuite() {
    golden_ = new Golden(ReadGolden("tiny"));
    auto model = DetectionModel::Load({.checkpoint = golden_->checkpoint});
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = new std::shared_ptr<DetectionModel>(*std::move(model));
    files_ = new duet_testing::TempDir;
    std::filesystem::copy(golden_->checkpoint, files_->path() + "/models/tiny.pth",
                          MakeParents(files_->path() + "/models/tiny.pth"));
    std::filesystem::copy(ReadGolden("exp").checkpoint, files_->path() + "/models/exp.pth");
    files_->Write("models/broken.pth", "PK\003\004 and then nothing");
    files_->Write("pictures/a 1.png", duet_testing::ReadFile(golden_->images[1].path));
  }
  static void TearDownTestSuite() {
    delete files_;
    delete model_;
    delete golden_;
  }
  static std::filesystem::copy_options MakeParents(const std::filesystem::path& path) {
    std::filesystem::create_directories(path.parent_path());
    return std::filesystem::copy_options::none;
  }

  void Start(model_service::ReloadOptions reload = {}, ModelHost::Loader load = LoaderWith(2)) {
    Start(*model_, std::move(reload), std::move(load));
  }
  void Start(std::shared_ptr<DetectionModel> model, model_service::ReloadOptions reload = {},
             ModelHost::Loader load = LoaderWith(2)) {
    host_ = std::make_unique<ModelHost>(std::move(model), std::move(reload), std::move(load));
    images_ = std::make_unique<model_service::ImageSource>(files_->path() + "/pictures",
                                                           vision::ImageLimits{}, metrics_);
    service_ = std::make_unique<DetectorService>(ServiceOptions{.queue_size = 4, .threads = 2},
                                                 host_.get(), images_.get(),
                                                 &serving::Clock::Real(), &metrics_);
    auto server = serving::GrpcServer::Start({}, {service_.get()}, &metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->SetReady(true);
    stub_ = pb::Detector::NewStub(grpc::CreateChannel(
        "127.0.0.1:" + std::to_string(server_->port()), grpc::InsecureChannelCredentials()));
  }

  // The second golden picture; as the reference treats it.
  static pb::DetectRequest AsTheReference() {
    pb::DetectRequest request;
    request.mutable_image()->set_data(duet_testing::ReadFile(golden_->images[1].path));
    request.set_score_threshold(0.001F);
    request.set_keep_unclipped(true);
    return request;
  }

  grpc::Status Detect(const pb::DetectRequest& request, pb::DetectResponse* response) {
    grpc::ClientContext context;
    return stub_->Detect(&context, request, response);
  }
  grpc::Status Detect(const pb::DetectRequest& request) {
    pb::DetectResponse ignored;
    return Detect(request, &ignored);
  }

  static Golden* golden_;
  static std::shared_ptr<DetectionModel>* model_;
  static duet_testing::TempDir* files_;
  serving::Metrics metrics_;
  std::unique_ptr<ModelHost> host_;
  std::unique_ptr<model_service::ImageSource> images_;
  std::unique_ptr<DetectorService> service_;
  std::unique_ptr<serving::GrpcServer> server_;
  std::unique_ptr<pb::Detector::Stub> stub_;
};
Golden* DetectorServiceTest::golden_ = nullptr;
std::shared_ptr<DetectionModel>* DetectorServiceTest::model_ = nullptr;
duet_testing::TempDir* DetectorServiceTest::files_ = nullptr;

TEST_F(DetectorServiceTest, APictureThatNobodyWaitsForHasTheRankOfABatch) {
  Start();
  pb::DetectRequest request = AsTheReference();

  request.set_background(true);
  EXPECT_TRUE(Detect(request).ok());
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("duet_queue_seconds_count{queue=\"detect\",rank=\"2\"} 1"));
  EXPECT_THAT(metrics_.Text(), Not(HasSubstr("queue=\"detect\",rank=\"0\"")));
  request.set_background(false);
  EXPECT_TRUE(Detect(request).ok());
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("duet_queue_seconds_count{queue=\"detect\",rank=\"0\"} 1"));
}

TEST_F(DetectorServiceTest, DetectAnswersWhatTheReferenceFinds) {
  Start();
  pb::DetectResponse response;

  const grpc::Status status = Detect(AsTheReference(), &response);

  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.image_width(), 640U);
  EXPECT_EQ(response.image_height(), 480U);
  EXPECT_EQ(response.model_version(), (*model_)->version());
  for (const pb::Detection& d : response.detections()) {
    EXPECT_EQ(d.label(), golden_->classes[d.class_id()]);
  }
  const std::vector<Detection> found = FromProto(response);
  const auto& expected = golden_->images[1].detections;
  EXPECT_GE(CountMatches(expected, found), 0.99 * expected.size());
}

TEST_F(DetectorServiceTest, ARequestsSettingsHold) {
  Start();
  pb::DetectRequest request = AsTheReference();
  request.set_max_detections(5);
  request.add_classes("wheel");
  request.set_keep_unclipped(false);
  pb::DetectResponse response;

  ASSERT_TRUE(Detect(request, &response).ok());

  EXPECT_THAT(response.detections(), SizeIs(5));
  for (const pb::Detection& d : response.detections()) {
    EXPECT_EQ(d.label(), "wheel");
    EXPECT_LE(d.box().x_max(), 640);
    EXPECT_LE(d.box().y_max(), 480);
  }
  // Silent, it gets the service's threshold.
  request.clear_score_threshold();
  request.clear_max_detections();
  ASSERT_TRUE(Detect(request, &response).ok());
  EXPECT_GT(response.detections_size(), 0);
  EXPECT_LT(response.detections_size(), 100);
  for (const pb::Detection& d : response.detections()) EXPECT_GT(d.score(), 0.5F);
}

TEST_F(DetectorServiceTest, ALargeImageIsSlicedAndASmallOneIsNot) {
  Start();
  pb::DetectRequest request = AsTheReference();
  request.set_keep_unclipped(false);
  pb::DetectResponse whole;
  ASSERT_TRUE(Detect(request, &whole).ok());
  pb::DetectResponse one_tile;
  request.mutable_slicing()->set_tile_size(640);
  ASSERT_TRUE(Detect(request, &one_tile).ok());
  EXPECT_EQ(one_tile.detections_size(), whole.detections_size());

  pb::DetectResponse sliced;
  request.mutable_slicing()->set_tile_size(320);
  request.mutable_slicing()->set_overlap(64);
  ASSERT_TRUE(Detect(request, &sliced).ok());

  EXPECT_NE(sliced.detections_size(), whole.detections_size());
  EXPECT_EQ(sliced.image_width(), 640u);
  EXPECT_EQ(sliced.image_height(), 480u);
  float right = 0;
  for (const pb::Detection& one : sliced.detections()) {
    right = std::max(right, one.box().x_max());
    EXPECT_LE(one.box().y_max(), 480);
  }
  EXPECT_GT(right, 500) << "boxes lie in the image, not in their tile";
  EXPECT_LE(right, 640);
  request.set_max_detections(3);
  ASSERT_TRUE(Detect(request, &sliced).ok());
  EXPECT_THAT(sliced.detections(), SizeIs(3));
}

TEST_F(DetectorServiceTest, ASlicingThatCannotBeIsRefusedByField) {
  Start();
  const auto answer = [](const std::function<void(pb::Slicing*)>& change) {
    pb::DetectRequest request = AsTheReference();
    request.set_keep_unclipped(false);
    request.mutable_slicing()->set_tile_size(320);
    change(request.mutable_slicing());
    return request;
  };
  const struct {
    std::function<void(pb::Slicing*)> change;
    const char* message;
  } kCases[] = {
      {[](pb::Slicing* s) { s->set_tile_size(63); }, "slicing.tile_size must be from 64"},
      {[](pb::Slicing* s) { s->clear_tile_size(); }, "slicing.tile_size must be from 64"},
      {[](pb::Slicing* s) { s->set_tile_size(3'000'000'000U); }, "to 1000000, not 3000000000"},
      {[](pb::Slicing* s) { s->set_overlap(320); }, "slicing.overlap must be less than"},
      {[](pb::Slicing* s) { s->set_match_threshold(0); },
       "slicing.match_threshold must be greater"},
      {[](pb::Slicing* s) { s->set_match_threshold(NAN); }, "at most 1, not nan"},
      {[](pb::Slicing* s) { s->set_method(static_cast<pb::JoinMethod>(7)); }, "method is 7"},
      {[](pb::Slicing* s) { s->set_metric(static_cast<pb::OverlapMetric>(9)); }, "metric is 9"},
      {[](pb::Slicing* s) {
         s->set_tile_size(64);
         s->set_overlap(63);
       },
       "at most 16384 are allowed"}};
  for (const auto& one : kCases) {
    EXPECT_THAT(Detect(answer(one.change)),
                IsGrpcError(grpc::INVALID_ARGUMENT, HasSubstr(one.message)));
  }
  pb::DetectRequest unclipped = AsTheReference();
  unclipped.mutable_slicing()->set_tile_size(320);
  EXPECT_THAT(Detect(unclipped), IsGrpcError(grpc::INVALID_ARGUMENT, HasSubstr("keep_unclipped")));
}

TEST_F(DetectorServiceTest, InstancesComeWithMasksUnlessOmitted) {
  const Golden golden = ReadGolden("ins");
  ASSERT_OK_AND_ASSIGN(auto model, DetectionModel::Load({.checkpoint = golden.checkpoint}));
  Start(std::move(model));
  const std::vector<Detection>& expected = golden.images[1].detections;
  pb::DetectRequest request = AsTheReference();
  request.mutable_image()->set_data(duet_testing::ReadFile(golden.images[1].path));
  request.set_score_threshold(0.05F);
  pb::DetectResponse response;

  ASSERT_TRUE(Detect(request, &response).ok());
  EXPECT_GE(CountMatches(expected, FromProto(response)), 0.99 * expected.size());
  for (const pb::Detection& d : response.detections()) EXPECT_FALSE(d.has_row_runs());

  request.add_mask_formats(duet::vision::v1::MASK_FORMAT_ROW_RUNS);
  pb::DetectResponse with_runs;
  ASSERT_TRUE(Detect(request, &with_runs).ok());
  const std::vector<Detection> coco = FromProto(response);
  ASSERT_EQ(with_runs.detections_size(), static_cast<int>(coco.size()));
  for (std::size_t i = 0; i < coco.size(); ++i) {
    const pb::Detection& d = with_runs.detections(static_cast<int>(i));
    EXPECT_FALSE(d.has_mask());
    const std::vector<std::uint32_t> runs(d.row_runs().counts().begin(),
                                          d.row_runs().counts().end());
    EXPECT_EQ(runs, vision::EncodeRowRuns(*coco[i].mask));
  }

  request.set_omit_masks(true);
  ASSERT_TRUE(Detect(request, &response).ok());
  EXPECT_EQ(response.detections_size(), static_cast<int>(expected.size()));
  for (const pb::Detection& d : response.detections()) {
    EXPECT_FALSE(d.has_mask());
    EXPECT_FALSE(d.has_row_runs());
  }
  grpc::ClientContext context;
  pb::GetModelResponse info;
  ASSERT_TRUE(stub_->GetModel(&context, {}, &info).ok());
  EXPECT_TRUE(info.has_masks());
  EXPECT_FALSE(info.has_rotated_boxes());
}

TEST_F(DetectorServiceTest, RotatedBoxesComeWithTheBoxesAroundThem) {
  const Golden golden = ReadGolden("rtmr");
  ASSERT_OK_AND_ASSIGN(auto model, DetectionModel::Load({.checkpoint = golden.checkpoint}));
  Start(std::move(model));
  const std::vector<Detection>& expected = golden.images[0].detections;
  pb::DetectRequest request = AsTheReference();
  request.mutable_image()->set_data(duet_testing::ReadFile(golden.images[0].path));
  request.set_score_threshold(0.05F);
  pb::DetectResponse response;

  ASSERT_TRUE(Detect(request, &response).ok());

  const std::vector<Detection> found = FromProto(response);
  EXPECT_GE(CountMatches(expected, found), 0.99 * expected.size());
  for (const Detection& d : found) {
    const float half = std::hypot(d.rotated_box->width, d.rotated_box->height) / 2;
    EXPECT_LE(std::abs(d.box.x_min - d.rotated_box->center.x), half + 1e-3F);
    EXPECT_LE(std::abs(d.box.y_max - d.rotated_box->center.y), half + 1e-3F);
  }
  grpc::ClientContext context;
  pb::GetModelResponse info;
  ASSERT_TRUE(stub_->GetModel(&context, {}, &info).ok());
  EXPECT_TRUE(info.has_rotated_boxes());
  EXPECT_EQ(info.model().input_width(), 1024U);
}

TEST_F(DetectorServiceTest, FilesAreReadBelowTheImageRootOnly) {
  Start();
  pb::DetectRequest request;
  request.mutable_image()->set_uri("file://" + files_->path() + "/pictures/a%201.png");
  EXPECT_TRUE(Detect(request).ok());

  for (const std::string& uri :
       {"file://" + files_->path() + "/models/tiny.pth", std::string("file:///etc/passwd"),
        "file://" + files_->path() + "/pictures/../models/tiny.pth",
        std::string("http://127.0.0.1/a.png"), std::string("file://elsewhere/a.png"),
        std::string("a.png")}) {
    request.mutable_image()->set_uri(uri);
    EXPECT_THAT(Detect(request), IsGrpcError(grpc::StatusCode::INVALID_ARGUMENT, testing::_))
        << uri;
  }
}

TEST_F(DetectorServiceTest, WhatIsWrongWithARequestIsNamed) {
  Start();
  const auto is_error = [](const char* part) {
    return IsGrpcError(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr(part));
  };
  EXPECT_THAT(Detect({}), is_error("image is missing"));
  pb::DetectRequest request = AsTheReference();
  request.set_score_threshold(std::nanf(""));
  EXPECT_THAT(Detect(request), is_error("score_threshold"));
  request = AsTheReference();
  request.set_nms_iou_threshold(1.5);
  EXPECT_THAT(Detect(request), is_error("nms_iou_threshold"));
  request = AsTheReference();
  request.set_max_detections(0);
  EXPECT_THAT(Detect(request), is_error("max_detections"));
  request = AsTheReference();
  request.add_mask_formats(duet::vision::v1::MASK_FORMAT_UNSPECIFIED);
  EXPECT_THAT(Detect(request), is_error("mask_formats[0]"));
  request = AsTheReference();
  request.add_classes("unicorn");
  EXPECT_THAT(Detect(request), is_error("'unicorn'"));
  request = AsTheReference();
  request.mutable_image()->mutable_data()->resize(20);
  EXPECT_THAT(Detect(request), IsGrpcError(grpc::StatusCode::INVALID_ARGUMENT, testing::_));
}

TEST_F(DetectorServiceTest, OneRowAndOneColumnAreAnswered) {
  Start();
  for (const cv::Size size : {cv::Size(5000, 1), cv::Size(1, 5000), cv::Size(1, 1)}) {
    SCOPED_TRACE(testing::Message() << size.width << "x" << size.height);
    std::vector<std::uint8_t> bytes;
    cv::imencode(".png", cv::Mat(size, CV_8UC3, cv::Scalar(10, 120, 230)), bytes);
    pb::DetectRequest request;
    request.mutable_image()->set_data(bytes.data(), bytes.size());
    request.set_score_threshold(0.001F);
    pb::DetectResponse response;
    const grpc::Status status = Detect(request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.image_width(), static_cast<std::uint32_t>(size.width));
    EXPECT_EQ(response.image_height(), static_cast<std::uint32_t>(size.height));
    for (const pb::Detection& d : response.detections()) {
      EXPECT_GE(d.box().x_min(), 0);
      EXPECT_LE(d.box().x_max(), size.width);
      EXPECT_LE(d.box().y_max(), size.height);
    }
  }
}

TEST_F(DetectorServiceTest, ADamagedImageIsAnsweredCountedAndLogged) {
  Start();
  const duet_testing::LogCapture log;
  pb::DetectRequest request;
  const std::string jpeg = duet_testing::ReadFile(DUET_TEST_DATA "/images/rgb.jpg");
  request.mutable_image()->set_data(jpeg);
  EXPECT_TRUE(Detect(request).ok());
  EXPECT_THAT(metrics_.Text(), HasSubstr("duet_damaged_images_total 0"));
  EXPECT_THAT(log.lines("image.damaged"), SizeIs(0));

  request.mutable_image()->set_data(jpeg.substr(0, jpeg.size() * 7 / 10));
  pb::DetectResponse response;
  EXPECT_TRUE(Detect(request, &response).ok());
  EXPECT_EQ(response.image_width(), 53u);
  EXPECT_THAT(metrics_.Text(), HasSubstr("duet_damaged_images_total 1"));
  EXPECT_THAT(log.lines("image.damaged"),
              testing::ElementsAre(testing::AllOf(
                  HasSubstr("\"level\":\"warning\""), HasSubstr("\"width\":53,\"height\":37"),
                  HasSubstr("\"request_id\":"), HasSubstr("premature end"))));
}

TEST_F(DetectorServiceTest, ABatchGoesOnAfterABadPicture) {
  Start();
  grpc::ClientContext context;
  const auto stream = stub_->DetectBatch(&context);
  pb::DetectBatchRequest request;
  request.set_id("good");
  *request.mutable_request() = AsTheReference();
  ASSERT_TRUE(stream->Write(request));
  request.set_id("bad");
  request.mutable_request()->mutable_image()->set_data("not a picture");
  ASSERT_TRUE(stream->Write(request));
  request.set_id("again");
  *request.mutable_request() = AsTheReference();
  ASSERT_TRUE(stream->Write(request));
  stream->WritesDone();

  pb::DetectBatchResponse answer;
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.id(), "good");
  EXPECT_GT(answer.response().detections_size(), 200);
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.id(), "bad");
  EXPECT_EQ(answer.error().code(), grpc::StatusCode::INVALID_ARGUMENT);
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.id(), "again");
  EXPECT_TRUE(answer.has_response());
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(DetectorServiceTest, AnExpiredRequestIsNotServed) {
  Start();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() - std::chrono::seconds(1));
  pb::DetectResponse response;

  EXPECT_EQ(stub_->Detect(&context, AsTheReference(), &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(DetectorServiceTest, GetModelTellsWhatIsLoaded) {
  Start();
  grpc::ClientContext context;
  pb::GetModelResponse response;

  ASSERT_TRUE(stub_->GetModel(&context, {}, &response).ok());

  EXPECT_EQ(response.model().version(), (*model_)->version());
  EXPECT_EQ(response.model().input_width(), 640U);
  EXPECT_EQ(response.model().precision(), "fp32");
  EXPECT_EQ(response.classes(1), "big dog");
  EXPECT_FALSE(response.has_masks());
  EXPECT_EQ(response.score_threshold(), 0.5F);
  EXPECT_EQ(response.max_detections(), 300U);
}

TEST_F(DetectorServiceTest, AnswersTellWhichModelMadeThem) {
  Start();
  pb::DetectResponse response;
  ASSERT_TRUE(Detect(AsTheReference(), &response).ok());
  EXPECT_EQ(response.model().name(), "default");
  EXPECT_EQ(response.model().version(), (*model_)->version());

  grpc::ClientContext context;
  pb::GetModelResponse model;
  ASSERT_TRUE(stub_->GetModel(&context, {}, &model).ok());
  EXPECT_EQ(model.model().served_as(), "default");
}

TEST_F(DetectorServiceTest, TheModelThatIsAskedForAnswersOrNone) {
  Start();
  const auto ask = [&](const char* name, const std::string& version) {
    pb::DetectRequest request = AsTheReference();
    request.mutable_model()->set_name(name);
    request.mutable_model()->set_version(version);
    return Detect(request);
  };
  const std::string& version = (*model_)->version();

  EXPECT_TRUE(ask("", "").ok());
  EXPECT_TRUE(ask("default", "").ok());
  EXPECT_TRUE(ask("", version).ok());
  EXPECT_TRUE(ask("default", version).ok());
  EXPECT_THAT(ask("default", "older"),
              IsGrpcError(grpc::StatusCode::FAILED_PRECONDITION,
                          testing::AllOf(HasSubstr("'older'"), HasSubstr(version))));
  EXPECT_THAT(ask("project-7", version),
              IsGrpcError(grpc::StatusCode::FAILED_PRECONDITION, HasSubstr("'project-7'")));

  // Before the classes, which are another model's.
  pb::DetectRequest request = AsTheReference();
  request.add_classes("unheard of");
  request.mutable_model()->set_version("older");
  EXPECT_EQ(Detect(request).error_code(), grpc::StatusCode::FAILED_PRECONDITION);

  grpc::ClientContext context;
  pb::GetModelRequest get_model;
  get_model.mutable_model()->set_name("project-7");
  pb::GetModelResponse ignored;
  EXPECT_EQ(stub_->GetModel(&context, get_model, &ignored).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(DetectorServiceTest, ReloadIsOffByDefault) {
  Start();
  grpc::ClientContext context;
  duet::vision::v1::ReloadModelResponse response;

  EXPECT_THAT(stub_->ReloadModel(&context, {}, &response),
              IsGrpcError(grpc::StatusCode::PERMISSION_DENIED, HasSubstr("--enable_reload")));
}

TEST_F(DetectorServiceTest, ReloadSwapsInAGoodFileAndABadOneChangesNothing) {
  Start({.enabled = true, .model_root = files_->path() + "/models"});
  const auto reload = [&](const char* file, duet::vision::v1::ReloadModelResponse* response) {
    grpc::ClientContext context;
    duet::vision::v1::ReloadModelRequest request;
    request.set_checkpoint(file);
    return stub_->ReloadModel(&context, request, response);
  };
  duet::vision::v1::ReloadModelResponse response;

  EXPECT_THAT(reload("broken.pth", &response),
              IsGrpcError(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("broken.pth")));
  EXPECT_THAT(reload("../pictures/a 1.png", &response),
              IsGrpcError(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("not a file below")));
  EXPECT_EQ(host_->Current(), *model_);

  const grpc::Status status = reload("tiny.pth", &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.previous_version(), (*model_)->version());
  EXPECT_EQ(response.model().version(), (*model_)->version());  // the same content
  EXPECT_GT(response.peak_memory_bytes(), 0U);
  EXPECT_NE(host_->Current(), *model_);
  EXPECT_TRUE(Detect(AsTheReference()).ok());
}

TEST_F(DetectorServiceTest, AReloadIsAbortedWhileAnotherOneRuns) {
  std::promise<void> entered, go_on;
  Start({.enabled = true}, [&](const DetectionModel&, const model_service::ReloadFiles&) {
    entered.set_value();
    go_on.get_future().wait();
    return *model_;
  });
  const auto reload = [&] {
    grpc::ClientContext context;
    duet::vision::v1::ReloadModelResponse response;
    return stub_->ReloadModel(&context, {}, &response);
  };
  std::future<grpc::Status> first = std::async(std::launch::async, reload);
  entered.get_future().wait();

  EXPECT_THAT(reload(), IsGrpcError(grpc::StatusCode::ABORTED, "another reload is running"));
  EXPECT_TRUE(Detect(AsTheReference()).ok()) << "the old model serves meanwhile";
  go_on.set_value();
  EXPECT_TRUE(first.get().ok());
}

// One caller after another answer; what it has seen.
class SteadyCaller {
 public:
  SteadyCaller(pb::Detector::Stub* stub, const pb::DetectRequest& request)
      : thread_([this, stub, request] {
          while (!stop_) {
            grpc::ClientContext context;
            pb::DetectResponse response;
            const grpc::Status status = stub->Detect(&context, request, &response);
            const std::lock_guard lock(mutex_);
            if (!status.ok()) errors_.push_back(status.error_message());
            answers_.push_back(std::move(response));
            changed_.notify_all();
          }
        }) {}
  ~SteadyCaller() { Stop(); }

  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  // Waits for an answer that was asked for after this call.
  pb::DetectResponse Next() {
    std::unique_lock lock(mutex_);
    const std::size_t wanted = answers_.size() + 2;  // one may be on its way
    changed_.wait(lock, [&] { return answers_.size() >= wanted; });
    return answers_.back();
  }

  // After Stop.
  const std::vector<std::string>& errors() const { return errors_; }
  const std::vector<pb::DetectResponse>& answers() const { return answers_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> errors_;
  std::vector<pb::DetectResponse> answers_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST_F(DetectorServiceTest, ReloadsUnderLoadFailNoRequestAndMixNoModels) {
  Start({.enabled = true, .model_root = files_->path() + "/models"});
  const auto reload = [&](const char* file) {
    grpc::ClientContext context;
    duet::vision::v1::ReloadModelRequest request;
    request.set_checkpoint(file);
    duet::vision::v1::ReloadModelResponse response;
    const grpc::Status status = stub_->ReloadModel(&context, request, &response);
    return status.ok() ? response.model().version() : std::string();
  };
  pb::DetectRequest request = AsTheReference();
  request.set_score_threshold(0.5F);  // so few that the models differ in their number
  const auto first = std::make_unique<SteadyCaller>(stub_.get(), request);
  const auto second = std::make_unique<SteadyCaller>(stub_.get(), request);
  std::map<std::string, int> detections;  // by version
  const auto expect_both_served_by = [&](const std::string& version) {
    for (const auto& caller : {first.get(), second.get()}) {
      const pb::DetectResponse answer = caller->Next();
      EXPECT_EQ(answer.model_version(), version);
      detections.emplace(version, answer.detections_size());
    }
  };

  const std::string tiny = (*model_)->version();
  expect_both_served_by(tiny);
  const std::string exp = reload("exp.pth");
  EXPECT_NE(exp, tiny);
  expect_both_served_by(exp);
  EXPECT_EQ(reload("broken.pth"), "");
  expect_both_served_by(exp);
  EXPECT_EQ(reload("tiny.pth"), tiny);
  expect_both_served_by(tiny);

  EXPECT_NE(detections[exp], detections[tiny]);  // else the check below says nothing
  for (const auto& caller : {first.get(), second.get()}) {
    caller->Stop();
    EXPECT_THAT(caller->errors(), testing::IsEmpty());
    std::vector<std::string> versions;
    for (const pb::DetectResponse& answer : caller->answers()) {
      // Version and detections are of one model.
      EXPECT_EQ(answer.detections_size(), detections[answer.model_version()]);
      if (versions.empty() || versions.back() != answer.model_version()) {
        versions.push_back(answer.model_version());
      }
    }
    EXPECT_THAT(versions, testing::ElementsAre(tiny, exp, tiny));
  }
}

TEST_F(DetectorServiceTest, UnderReloadsNoAnswerIsOfAnotherVersionThanAskedFor) {
  Start({.enabled = true, .model_root = files_->path() + "/models"});
  const std::string tiny = (*model_)->version();
  std::atomic<bool> over = false;
  std::map<std::string, std::size_t> answered;
  int refused = 0;
  std::thread caller([&] {
    pb::DetectRequest request = AsTheReference();
    while (!over) {
      // Whatever serves, then that one again: by then a reload may have come between.
      request.clear_model();
      pb::DetectResponse first;
      EXPECT_TRUE(Detect(request, &first).ok());
      for (int i = 0; i < 3; ++i) {
        *request.mutable_model() = first.model();
        pb::DetectResponse again;
        const grpc::Status status = Detect(request, &again);
        if (status.ok()) {
          EXPECT_EQ(again.model().version(), first.model().version());
          EXPECT_EQ(again.detections_size(), first.detections_size());
          ++answered[again.model().version()];
        } else {
          EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
          ++refused;
        }
      }
    }
  });
  for (const char* file : {"exp.pth", "tiny.pth", "exp.pth", "tiny.pth"}) {
    grpc::ClientContext context;
    duet::vision::v1::ReloadModelRequest request;
    request.set_checkpoint(file);
    duet::vision::v1::ReloadModelResponse response;
    EXPECT_TRUE(stub_->ReloadModel(&context, request, &response).ok());
  }
  over = true;
  caller.join();
  EXPECT_GT(answered[tiny], 0U);
}

TEST_F(DetectorServiceTest, ABatchWhoseCallerHangsUpEnds) {
  Start();
  {
    grpc::ClientContext context;
    const auto stream = stub_->DetectBatch(&context);
    pb::DetectBatchRequest request;
    *request.mutable_request() = AsTheReference();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(stream->Write(request));
    pb::DetectBatchResponse answer;
    ASSERT_TRUE(stream->Read(&answer));
    context.TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(Detect(AsTheReference()).ok());
  server_->Drain(absl::InfiniteFuture());  // returns when no handler runs any more
}

}  // namespace
}  // namespace detector
