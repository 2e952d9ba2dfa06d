// /setup and /predict through real sockets: client ↔ gateway ↔ services.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/json/serialize.hpp>
#include <cstdint>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/integration/gateway/gateway_test.h"
#include "tests/testing/service_answers.h"
#include "vision/geometry.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kRectangles[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels></View>)";
constexpr char kMasks[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels>
  <BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels></View>)";
constexpr char kSmart[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels>
  <BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="cat"/></KeyPointLabels></View>)";
constexpr char kSmartRectangles[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels>
  <RectangleLabels name="smart" toName="image" smart="true"><Label value="cat"/></RectangleLabels></View>)";

const grpc::Status kFull(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
const grpc::Status kAway(grpc::StatusCode::UNAVAILABLE, "draining");

std::string Text(const json::value& value) { return std::string(value.as_string()); }

class PredictTest : public GatewayTest {
 protected:
  const std::string image_ = PngDataUri(320, 240);
};

TEST_F(PredictTest, ABatchOfRectanglesNeverAsksTheSegmenter) {
  Harness& gateway = Start();

  const Reply reply =
      gateway.Post("/predict", PredictBody(kRectangles, {image_, PngDataUri(320, 240, 7)}));

  ASSERT_EQ(reply.status, 200) << reply.body;
  ASSERT_EQ(reply.json().at("results").as_array().size(), 2u);
  const json::value region = reply.result(0).at("result").at(0);
  EXPECT_EQ(region.at("from_name"), "rect");
  EXPECT_EQ(region.at("type"), "rectanglelabels");
  EXPECT_NEAR(region.at("value").at("x").to_number<double>(), 10 / 3.2, 1e-4);
  EXPECT_NEAR(region.at("value").at("height").to_number<double>(), 100 / 2.4, 1e-4);
  EXPECT_EQ(region.at("value").at("rectanglelabels").at(0), "cat");
  EXPECT_NEAR(reply.result(0).at("score").to_number<double>(), 0.9, 1e-6);
  EXPECT_EQ(services_.count("Detect"), 2);
  EXPECT_EQ(services_.count("Embed") + services_.count("Segment"), 0);
}

TEST_F(PredictTest, OneRowAndOneColumnGetRegionsWithinThem) {
  vision::Size image;
  services_.on_detect = [&](grpc::ServerContext&, const duet::detector::v1::DetectRequest&,
                            duet::detector::v1::DetectResponse* response) {
    response->set_image_width(static_cast<std::uint32_t>(image.width));
    response->set_image_height(static_cast<std::uint32_t>(image.height));
    auto* const detection = response->add_detections();
    detection->set_label("cat");
    detection->set_score(0.9f);
    // What a detector gives for an object that covers the image.
    detection->mutable_box()->set_x_max(static_cast<float>(image.width));
    detection->mutable_box()->set_y_max(static_cast<float>(image.height));
    return grpc::Status::OK;
  };
  services_.on_segment = [&](grpc::ServerContext&, const duet::segmenter::v1::SegmentRequest&,
                             duet::segmenter::v1::SegmentResponse* response) {
    response->set_image_width(static_cast<std::uint32_t>(image.width));
    response->set_image_height(static_cast<std::uint32_t>(image.height));
    auto* const mask = response->add_results()->add_masks();
    mask->set_iou_score(0.8f);
    duet_testing::FillBox(image.width, image.height, {0, 0, image.width, image.height},
                          mask->mutable_row_runs());
    return grpc::Status::OK;
  };
  Harness& gateway = Start();
  for (const auto& [width, height] : {std::pair(5000, 1), std::pair(1, 5000), std::pair(1, 1)}) {
    image = {width, height};
    SCOPED_TRACE(::testing::Message() << width << "x" << height);
    const Reply reply = gateway.Post("/predict", PredictBody(kMasks, {PngDataUri(width, height)}));
    ASSERT_EQ(reply.status, 200) << reply.body;
    const json::array regions = reply.result(0).at("result").as_array();
    EXPECT_EQ(regions.size(), 2u) << reply.body;  // a rectangle and a brush
    for (const json::value& region : regions) {
      EXPECT_EQ(region.at("original_width"), width);
      EXPECT_EQ(region.at("original_height"), height);
      const json::object& value = region.at("value").as_object();
      if (!value.contains("width")) continue;
      for (const char* key : {"x", "y", "width", "height"}) {
        EXPECT_GE(value.at(key).to_number<double>(), 0) << key;
        EXPECT_LE(value.at(key).to_number<double>(), 100) << key;
      }
    }
  }
}

TEST_F(PredictTest, EachCallNamesItsTask) {
  std::mutex mutex;
  std::vector<std::string> calls;
  const auto note = [&](const std::string& method, const grpc::ServerContext& context) {
    const auto found = context.client_metadata().find("x-task-id");
    const bool named = found != context.client_metadata().end();
    const std::lock_guard lock(mutex);
    calls.push_back(method +
                    (named ? std::string(found->second.data(), found->second.size()) : " of none"));
  };
  services_.on_detect = [&](auto& context, const auto&, auto* response) {
    note("Detect ", context);
    response->set_image_width(320);
    response->set_image_height(240);
    auto* found = response->add_detections();
    found->set_label("cat");
    found->set_score(0.9f);
    found->mutable_box()->set_x_max(20);
    found->mutable_box()->set_y_max(30);
    return grpc::Status::OK;
  };
  services_.on_embed = [&](auto& context, const auto&, auto*) {
    note("Embed ", context);
    return grpc::Status::OK;
  };
  services_.on_segment = [&](auto& context, const auto&, auto*) {
    note("Segment ", context);
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "that is enough");
  };
  Harness& gateway = Start();

  gateway.Post("/predict", PredictBody(kMasks, {image_, PngDataUri(320, 240, 7)}));

  EXPECT_THAT(calls, ::testing::UnorderedElementsAre("Detect 1", "Detect 2", "Embed 1", "Embed 2",
                                                     "Segment 1", "Segment 2"));
}

TEST_F(PredictTest, SetupAndPredictionsNameTheSameVersion) {
  Harness& gateway = Start();
  const json::value setup = {{"project", "1.1795395253"},
                             {"schema", kRectangles},
                             {"hostname", ""},
                             {"access_token", ""},
                             {"extra_params", {{"score_threshold", 0.25}}}};

  const Reply before = gateway.Post("/predict", PredictBody(kRectangles, {image_}));
  const Reply version = gateway.Post("/setup", setup);
  const Reply after = gateway.Post("/predict", PredictBody(kRectangles, {image_}));

  ASSERT_EQ(version.status, 200) << version.body;
  EXPECT_EQ(after.result(0).at("model_version"), version.json().at("model_version"));
  EXPECT_NE(before.result(0).at("model_version"), version.json().at("model_version"))
      << "another threshold gives other answers";
  EXPECT_THAT(Text(version.json().at("model_version")), HasSubstr("d1+s1+"));
}

TEST_F(PredictTest, ExtraParamsReachTheDetector) {
  std::atomic<float> threshold = -1;
  services_.on_detect = [&](auto&, const auto& request, auto*) {
    threshold = request.score_threshold();
    return grpc::Status::OK;
  };
  Harness& gateway = Start();
  gateway.Post("/setup", {{"project", "1.5"},
                          {"schema", kRectangles},
                          {"extra_params", R"({"score_threshold": 0.25})"}});

  gateway.Post("/predict", PredictBody(kRectangles, {image_}));

  EXPECT_FLOAT_EQ(threshold, 0.25f);
}

TEST_F(PredictTest, AScoreOfUncertaintyChangesNoRegion) {
  services_.on_detect = [](auto&, const auto& request, auto* response) {
    response->set_image_width(320);
    response->set_image_height(240);
    for (const auto& [label, score] : {std::pair("cat", 0.9f), {"cat", 0.5f}, {"zebra", 0.3f}}) {
      if (score <= request.score_threshold()) continue;
      auto* found = response->add_detections();
      found->set_label(label);
      found->set_score(score);
      found->mutable_box()->set_x_max(20);
      found->mutable_box()->set_y_max(30);
    }
    return grpc::Status::OK;
  };
  Harness& gateway = Start();
  const json::value plain = gateway.Post("/predict", PredictBody(kRectangles, {image_})).result(0);
  gateway.Post("/setup", {{"project", "1.5"},
                          {"schema", kRectangles},
                          {"extra_params", R"({"score": "uncertainty"})"}});

  const json::value scored = gateway.Post("/predict", PredictBody(kRectangles, {image_})).result(0);

  const auto regions = [](json::value prediction) {
    for (json::value& region : prediction.at("result").as_array()) region.as_object().erase("id");
    return prediction.at("result");
  };
  EXPECT_EQ(regions(scored), regions(plain));
  EXPECT_NEAR(plain.at("score").to_number<double>(), 0.9, 1e-6);
  // The entropies of 0.9 and 0.5; nobody annotates a zebra here.
  EXPECT_NEAR(scored.at("score").to_number<double>(), 1 / (1 + 0.4690 + 1), 1e-4);
  EXPECT_NE(scored.at("model_version"), plain.at("model_version"));
}

TEST_F(PredictTest, MasksComeFromOneSegmentCallWithAllBoxes) {
  services_.on_detect = [](auto&, const auto&, auto* response) {
    response->set_image_width(320);
    response->set_image_height(240);
    for (int i = 0; i < 3; ++i) {
      auto* found = response->add_detections();
      found->set_label("cat");
      found->set_score(0.9f);
      found->mutable_box()->set_x_min(10);
      found->mutable_box()->set_x_max(20 + i);
      found->mutable_box()->set_y_max(30);
    }
    return grpc::Status::OK;
  };
  Harness& gateway = Start();

  const Reply reply = gateway.Post("/predict", PredictBody(kMasks, {image_}));

  ASSERT_EQ(reply.status, 200) << reply.body;
  std::map<std::string, int> types;
  const json::value prediction = reply.result(0);
  for (const json::value& region : prediction.at("result").as_array())
    ++types[Text(region.at("type"))];
  EXPECT_EQ(types, (std::map<std::string, int>{{"rectanglelabels", 3}, {"brushlabels", 3}}));
  EXPECT_EQ(services_.count("Embed"), 1);
  EXPECT_EQ(services_.count("Segment"), 1);
}

TEST_F(PredictTest, AnOpenedTaskWithSmartToolsIsEmbeddedAheadWithoutWaiting) {
  std::promise<void> let_go;
  std::shared_future<void> released(let_go.get_future());
  services_.on_embed = [released](auto&, const auto& request, auto*) {
    EXPECT_EQ(request.rank(), duet::segmenter::v1::EMBED_RANK_OPENED_TASK);
    released.wait();
    return grpc::Status::OK;
  };
  Harness& gateway = Start();

  const Reply reply = gateway.Post("/predict", PredictBody(kSmartRectangles, {image_}));

  EXPECT_EQ(reply.status, 200) << reply.body;
  while (services_.count("Embed") == 0) std::this_thread::yield();
  let_go.set_value();
}

TEST_F(PredictTest, APromptIsAnsweredInItsLabel) {
  Harness& gateway = Start();
  const json::value context = {{"result",
                                {{{"original_width", 320},
                                  {"original_height", 240},
                                  {"image_rotation", 0},
                                  {"value",
                                   {{"x", 50.0},
                                    {"y", 50.0},
                                    {"width", 0.3},
                                    {"labels", {"cat"}},
                                    {"keypointlabels", {"cat"}}}},
                                  {"is_positive", true},
                                  {"id", "a"},
                                  {"from_name", "point"},
                                  {"to_name", "image"},
                                  {"type", "keypointlabels"},
                                  {"origin", "manual"}}}}};

  const Reply reply = gateway.Post("/predict", PredictBody(kSmart, {image_}, context));

  ASSERT_EQ(reply.status, 200) << reply.body;
  const json::value region = reply.result(0).at("result").at(0);
  EXPECT_EQ(region.at("type"), "brushlabels");
  EXPECT_EQ(region.at("from_name"), "brush");
  EXPECT_EQ(region.at("value").at("brushlabels").at(0), "cat");
  EXPECT_EQ(services_.count("Detect"), 0);
}

TEST_F(PredictTest, NothingFoundIsAnEmptyResult) {
  services_.on_detect = [](auto&, const auto&, auto*) { return grpc::Status::OK; };
  Harness& gateway = Start();

  const Reply reply = gateway.Post("/predict", PredictBody(kMasks, {image_}));

  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.result(0).at("result").as_array(), IsEmpty());
  EXPECT_EQ(reply.result(0).at("score").to_number<double>(), 0);
}

// ---- Faults, by name.

TEST_F(PredictTest, ABadImageInABatchCostsOnlyItsTask) {
  Harness& gateway = Start();

  const Reply reply = gateway.Post(
      "/predict", PredictBody(kRectangles, {image_, "data:image/png;base64,AAAA", image_}));

  ASSERT_EQ(reply.status, 200) << reply.body;
  ASSERT_EQ(reply.json().at("results").as_array().size(), 3u);
  EXPECT_EQ(reply.result(0).at("result").as_array().size(), 1u);
  EXPECT_THAT(reply.result(1).as_object(), IsEmpty());
  EXPECT_EQ(reply.result(2).at("result").as_array().size(), 1u);
}

TEST_F(PredictTest, ABadImageOfAnOpenedTaskIsAnErrorThatNamesTheTask) {
  Harness& gateway = Start();

  const Reply reply =
      gateway.Post("/predict", PredictBody(kRectangles, {"data:image/png;base64,AAAA"}));

  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(Text(reply.json().at("error")), HasSubstr("task 1"));
}

TEST_F(PredictTest, DetectorAway) {
  services_.on_detect = [](auto&, const auto&, auto*) { return kAway; };
  Harness& gateway = Start({.gateway = {.predict_deadline = std::chrono::seconds(1)}});

  const Reply batch =
      gateway.Post("/predict", PredictBody(kRectangles, {image_, PngDataUri(320, 240, 7)}));
  EXPECT_EQ(batch.status, 503);
  EXPECT_EQ(batch.Header("Retry-After"), "2");
  EXPECT_THAT(Text(batch.json().at("error")), HasSubstr("all 2 tasks failed"));

  const Reply opened = gateway.Post("/predict", PredictBody(kRectangles, {image_}));
  EXPECT_EQ(opened.status, 503);
  EXPECT_EQ(gateway.Get("/health").status, 200);
}

TEST_F(PredictTest, ABatchThatFailedForGoodIsNotToldToComeBack) {
  Harness& gateway = Start();
  const std::string no_image = "data:image/png;base64,AAAA";

  const Reply bad = gateway.Post("/predict", PredictBody(kRectangles, {no_image, no_image}));

  EXPECT_EQ(bad.status, 422) << bad.body;
  EXPECT_EQ(bad.Header("Retry-After"), "");
  EXPECT_THAT(Text(bad.json().at("error")),
              ::testing::StartsWith("all 2 tasks failed for good; the first one, task 1: "));
}

TEST_F(PredictTest, ABatchOfWhichATaskMaySucceedLaterIsToldToComeBack) {
  services_.on_detect = [](auto&, const auto&, auto*) { return kAway; };
  Harness& gateway = Start({.gateway = {.predict_deadline = std::chrono::seconds(1)}});

  const Reply mixed =
      gateway.Post("/predict", PredictBody(kRectangles, {"data:image/png;base64,AAAA", image_}));

  EXPECT_EQ(mixed.status, 503) << mixed.body;
  EXPECT_EQ(mixed.Header("Retry-After"), "2");
  EXPECT_THAT(Text(mixed.json().at("error")), HasSubstr("task 2: ")) << "the one that may";
}

TEST_F(PredictTest, ABatchThatAServiceFailedByAFaultIsOurFault) {
  services_.on_detect = [](auto&, const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::INTERNAL, "a fault");
  };
  Harness& gateway = Start();

  const Reply reply =
      gateway.Post("/predict", PredictBody(kRectangles, {image_, "data:image/png;base64,AAAA"}));

  EXPECT_EQ(reply.status, 500) << reply.body;
  EXPECT_EQ(reply.Header("Retry-After"), "");
}

TEST_F(PredictTest, ABatchsAnswerIsBoundedAndTheRestIsLeft) {
  Harness& gateway = Start({.gateway = {.batch_concurrency = 1, .max_answer_bytes = 700}});
  std::vector<std::string> images;
  for (int i = 0; i < 6; ++i) images.push_back(PngDataUri(320, 240, i));

  const Reply reply = gateway.Post("/predict", PredictBody(kRectangles, images));

  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_LT(reply.body.size(), 1000u);
  EXPECT_TRUE(reply.result(0).as_object().contains("result"));
  for (std::size_t i = 3; i < 6; ++i) EXPECT_THAT(reply.result(i).as_object(), IsEmpty());
  EXPECT_LT(services_.count("Detect"), 5) << "nothing is begun that has no room";
}

TEST_F(PredictTest, APredictionLargerThanTheBoundIsAnsweredAlone) {
  Harness& gateway = Start({.gateway = {.batch_concurrency = 1, .max_answer_bytes = 1}});

  const Reply reply =
      gateway.Post("/predict", PredictBody(kRectangles, {image_, PngDataUri(320, 240, 7)}));

  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_TRUE(reply.result(0).as_object().contains("result"));
  EXPECT_THAT(reply.result(1).as_object(), IsEmpty());
}

TEST_F(PredictTest, SegmenterAway) {
  services_.on_embed = [](auto&, const auto&, auto*) { return kAway; };
  services_.on_segment = [](auto&, const auto&, auto*) { return kAway; };
  Harness& gateway = Start({.profiles = R"({"lenient": {"degrade": "boxes"}})",
                            .gateway = {.predict_deadline = std::chrono::seconds(1)}});

  EXPECT_EQ(gateway.Post("/predict", PredictBody(kMasks, {image_})).status, 503);
  EXPECT_EQ(gateway.Post("/predict", PredictBody(kRectangles, {image_})).status, 200)
      << "needs no segmenter";

  const Reply degraded = gateway.Post("/p/lenient/predict", PredictBody(kMasks, {image_}));
  ASSERT_EQ(degraded.status, 200) << degraded.body;
  ASSERT_EQ(degraded.result(0).at("result").as_array().size(), 1u);
  EXPECT_EQ(degraded.result(0).at("result").at(0).at("type"), "rectanglelabels");
}

TEST_F(PredictTest, ResourceExhaustedInABatchIsTriedAgain) {
  std::atomic<int> calls = 0;
  services_.on_detect = [&](auto&, const auto&, auto*) {
    return ++calls <= 2 ? kFull : grpc::Status::OK;
  };
  Harness& gateway = Start();

  const Reply reply =
      gateway.Post("/predict", PredictBody(kRectangles, {image_, PngDataUri(320, 240, 7)}));

  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.result(0).as_object().contains("result"));
  EXPECT_TRUE(reply.result(1).as_object().contains("result"));
}

TEST_F(PredictTest, ResourceExhaustedForAnOpenedTaskIsSaidAtOnce) {
  services_.on_detect = [](auto&, const auto&, auto*) { return kFull; };
  Harness& gateway = Start();

  const Reply reply = gateway.Post("/predict", PredictBody(kRectangles, {image_}));

  EXPECT_EQ(reply.status, 503);
  EXPECT_THAT(Text(reply.json().at("error")), HasSubstr("busy"));
}

TEST_F(PredictTest, SlowDetectorLeavesTheRestOfABatchForTheNextTime) {
  std::atomic<int> calls = 0;
  services_.on_detect = [&](grpc::ServerContext& context, const auto&, auto*) {
    if (++calls == 1) return grpc::Status::OK;
    while (!context.IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return grpc::Status::CANCELLED;
  };
  Harness& gateway = Start(
      {.gateway = {.predict_deadline = std::chrono::milliseconds(500), .batch_concurrency = 1}});

  const Reply reply = gateway.Post(
      "/predict",
      PredictBody(kRectangles, {image_, PngDataUri(320, 240, 7), PngDataUri(320, 240, 8)}));

  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_TRUE(reply.result(0).as_object().contains("result"));
  EXPECT_THAT(reply.result(1).as_object(), IsEmpty());
  EXPECT_THAT(reply.result(2).as_object(), IsEmpty());
}

TEST_F(PredictTest, ABatchLargerThanItsConcurrencyKeepsItsOrder) {
  services_.on_detect = [](auto&, const auto& request, auto* response) {
    response->set_image_width(320);
    response->set_image_height(240);
    auto* found = response->add_detections();
    found->set_label("cat");
    found->set_score(static_cast<float>(request.image().data().size() % 97) / 97.0f);
    found->mutable_box()->set_x_max(20);
    found->mutable_box()->set_y_max(30);
    return grpc::Status::OK;
  };
  Harness& gateway = Start({.gateway = {.batch_concurrency = 3}});
  std::vector<std::string> images;
  for (int i = 0; i < 40; ++i) images.push_back(PngDataUri(100 + 13 * i, 50));

  const Reply together = gateway.Post("/predict", PredictBody(kRectangles, images));

  ASSERT_EQ(together.status, 200);
  ASSERT_EQ(together.json().at("results").as_array().size(), images.size());
  for (std::size_t i = 0; i < images.size(); i += 7) {
    const Reply alone = gateway.Post("/predict", PredictBody(kRectangles, {images[i]}));
    EXPECT_EQ(together.result(i).at("score"), alone.result(0).at("score")) << i;
  }
}

TEST_F(PredictTest, ModelsNotHeardOfYet) {
  harness_ = std::make_unique<Harness>(
      HarnessOptions{.detector = "127.0.0.1:1", .segmenter = "127.0.0.1:1"});

  EXPECT_EQ(harness_->Get("/health").status, 200);
  const Reply setup = harness_->Post("/setup", {{"project", "1.5"}, {"schema", kRectangles}});
  EXPECT_EQ(setup.status, 503);
  EXPECT_EQ(setup.Header("Retry-After"), "2");
  EXPECT_EQ(harness_->Post("/predict", PredictBody(kRectangles, {image_})).status, 503);
  EXPECT_EQ(harness_->Get("/readyz").status, 503);
  EXPECT_EQ(harness_->Get("/livez").status, 200);
}

TEST_F(PredictTest, ClientHangsUp) {
  std::promise<void> entered;
  std::promise<void> cancelled;
  services_.on_detect = [&](grpc::ServerContext& context, const auto&, auto*) {
    entered.set_value();
    while (!context.IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    cancelled.set_value();
    return grpc::Status::CANCELLED;
  };
  Harness& gateway = Start();
  const std::string body = json::serialize(PredictBody(kRectangles, {image_}));
  {
    boost::asio::io_context io;
    boost::asio::ip::tcp::socket socket(io);
    socket.connect({boost::asio::ip::make_address("127.0.0.1"), gateway.port()});
    boost::asio::write(socket,
                       boost::asio::buffer("POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: "
                                           "application/json\r\nContent-Length: " +
                                           std::to_string(body.size()) + "\r\n\r\n" + body));
    entered.get_future().wait();
  }
  EXPECT_EQ(cancelled.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

// ---- Bad input.

TEST_F(PredictTest, BadInputIsNamed) {
  Harness& gateway = Start();
  const auto error = [&](const std::string& body) {
    const Reply reply = gateway.Send("POST", "/predict", body);
    EXPECT_EQ(reply.status, 400) << body;
    return Text(reply.json().at("error"));
  };

  EXPECT_THAT(error("no json"), HasSubstr("JSON"));
  EXPECT_THAT(error("{}"), HasSubstr("tasks"));
  EXPECT_THAT(error(R"({"tasks": [{"id": 1, "data": {"image": "x"}}]})"),
              HasSubstr("label_config"));
  EXPECT_THAT(error(R"({"tasks": [{"id": 1, "data": {}}], "label_config": "<View"})"),
              HasSubstr("label_config"));
  EXPECT_THAT(
      error(json::serialize(json::value{{"tasks", {{{"id", 9}, {"data", {{"photo", "x"}}}}}},
                                        {"label_config", kRectangles}})),
      HasSubstr("task 9"));
  EXPECT_EQ(gateway.Post("/setup", {{"project", "1.5"}, {"schema", "<View"}}).status, 400);
  EXPECT_EQ(
      gateway
          .Post("/setup",
                {{"project", "1.5"}, {"schema", ""}, {"extra_params", {{"score_threshold", 7}}}})
          .status,
      400);
}

}  // namespace
}  // namespace gateway::testing
