// What a user gets when something behind the gateway, or in front of it, fails: tests named by the
// fault. The services are fakes over real gRPC; tests/e2e/test_faults.py kills real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "tests/integration/gateway/fake_services.h"
#include "tests/integration/gateway/harness.h"

namespace gateway::testing {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

constexpr char kMasks[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels>
  <BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="cat"/></KeyPointLabels></View>)";

const grpc::Status kFull(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
const grpc::Status kAway(grpc::StatusCode::UNAVAILABLE, "draining");

grpc::Status UntilCancelled(grpc::ServerContext& context) {
  while (!context.IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return grpc::Status::CANCELLED;
}

json::value Click() {
  return {{"result",
           {{{"id", "p1"},
             {"from_name", "point"},
             {"to_name", "image"},
             {"type", "keypointlabels"},
             {"original_width", 320},
             {"original_height", 240},
             {"is_positive", true},
             {"value", {{"x", 50}, {"y", 50}, {"width", 0.5}, {"keypointlabels", {"cat"}}}}}}}};
}

class FaultsTest : public ::testing::Test {
 protected:
  Harness& Start(gateway::endpoints::ApplicationOptions options = {}) {
    harness_ = std::make_unique<Harness>(HarnessOptions{.detector = detector_.address(),
                                                        .segmenter = segmenter_.address(),
                                                        .gateway = std::move(options)});
    harness_->AwaitModels();
    return *harness_;
  }
  Reply Opened() { return harness_->Post("/predict", PredictBody(kMasks, {image_})); }
  Reply Batch() {
    return harness_->Post("/predict", PredictBody(kMasks, {image_, PngDataUri(320, 240, 7)}));
  }
  Reply Clicked() { return harness_->Post("/predict", PredictBody(kMasks, {image_}, Click())); }
  static std::string Error(const Reply& reply) {
    return std::string(reply.json().at("error").as_string());
  }

  FakeServices detector_;
  FakeServices segmenter_;
  std::unique_ptr<Harness> harness_;
  const std::string image_ = PngDataUri(320, 240);
};

TEST_F(FaultsTest, DetectorSlow) {
  detector_.on_detect = [](grpc::ServerContext& context, const auto&, auto*) {
    return UntilCancelled(context);
  };
  Start({.predict_deadline = std::chrono::milliseconds(300)});

  const Reply opened = Opened();

  EXPECT_EQ(opened.status, 504);
  EXPECT_THAT(Error(opened), HasSubstr("task 1"));
  EXPECT_THAT(Error(opened), HasSubstr("detector"));
  EXPECT_EQ(Batch().status, 503) << "all tasks failed";
}

TEST_F(FaultsTest, DetectorRestarting) {
  std::atomic<int> calls = 0;
  detector_.on_detect = [&](auto&, const auto&, auto* response) {
    if (++calls <= 3) return kAway;
    response->set_image_width(320);
    response->set_image_height(240);
    return grpc::Status::OK;
  };
  Start();

  const Reply batch = Batch();

  ASSERT_EQ(batch.status, 200) << batch.body;
  EXPECT_TRUE(batch.result(0).as_object().contains("result"));
  EXPECT_TRUE(batch.result(1).as_object().contains("result"));
}

TEST_F(FaultsTest, SegmenterAwayForAClick) {
  segmenter_.on_segment = [](auto&, const auto&, auto*) { return kAway; };
  Start({.predict_deadline = std::chrono::seconds(1)});

  const Reply clicked = Clicked();

  EXPECT_EQ(clicked.status, 503);
  EXPECT_EQ(clicked.Header("Retry-After"), "2");
  EXPECT_THAT(Error(clicked), HasSubstr("the segmenter at 127.0.0.1:"));
}

TEST_F(FaultsTest, SegmenterSlow) {
  segmenter_.on_segment = [](grpc::ServerContext& context, const auto&, auto*) {
    return UntilCancelled(context);
  };
  Start({.predict_deadline = std::chrono::milliseconds(300)});

  EXPECT_EQ(Opened().status, 504);
  const Reply clicked = Clicked();
  EXPECT_EQ(clicked.status, 504);
  EXPECT_THAT(Error(clicked), HasSubstr("segmenter"));
}

TEST_F(FaultsTest, SegmenterFull) {
  std::atomic<int> calls = 0;
  segmenter_.on_segment = [&](auto&, const auto&, auto*) {
    ++calls;
    return kFull;
  };
  Start();

  const Reply clicked = Clicked();

  EXPECT_EQ(clicked.status, 503);
  EXPECT_THAT(Error(clicked), HasSubstr("busy"));
  EXPECT_EQ(calls, 1) << "somebody waits, so the error comes at once";
}

TEST_F(FaultsTest, SegmenterFullOfEmbedsInABatchIsTriedAgain) {
  std::atomic<int> calls = 0;
  segmenter_.on_embed = [&](auto&, const auto& request, auto* response) {
    if (++calls <= 2) return kFull;
    response->set_image_id(ImageId(request.image().data()));
    return grpc::Status::OK;
  };
  Start();

  const Reply batch = Batch();

  ASSERT_EQ(batch.status, 200) << batch.body;
  EXPECT_EQ(batch.result(0).at("result").as_array().size(), 2u) << "a box and its mask";
  EXPECT_EQ(batch.result(1).at("result").as_array().size(), 2u);
}

TEST_F(FaultsTest, SegmenterRestartedBetweenEmbedAndSegment) {
  segmenter_.on_embed = [](auto&, const auto& request, auto* response) {
    response->set_image_id(ImageId(request.image().data()));
    return grpc::Status::OK;  // and is gone before the next call: the fake remembers nothing
  };
  Start();

  const Reply opened = Opened();

  ASSERT_EQ(opened.status, 200) << opened.body;
  EXPECT_EQ(opened.result(0).at("result").as_array().size(), 2u);
  EXPECT_EQ(segmenter_.count("Segment"), 2) << "the second time with the image";
}

// A proxy or a script that sends slowly, or wants too much, costs the others nothing.
TEST_F(FaultsTest, SlowClientsHugeHeadersAndHugeBodies) {
  Start();
  boost::asio::io_context io;
  const auto connect = [&] {
    boost::asio::ip::tcp::socket socket(io);
    socket.connect({boost::asio::ip::make_address("127.0.0.1"), harness_->port()});
    return socket;
  };
  const auto answer = [&](const std::string& request) {
    auto socket = connect();
    boost::system::error_code ignored;
    boost::asio::write(socket, boost::asio::buffer(request), ignored);
    std::string text;
    boost::asio::read_until(socket, boost::asio::dynamic_buffer(text), "\r\n", ignored);
    return text;
  };
  auto slow = connect();
  boost::asio::write(slow, boost::asio::buffer(std::string("POST /predict HTTP/1.1\r\nContent-")));

  EXPECT_THAT(
      answer("GET /health HTTP/1.1\r\nHost: x\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"),
      HasSubstr(" 431 "));
  EXPECT_THAT(answer("POST /predict HTTP/1.1\r\nHost: x\r\n"
                     "Content-Type: application/json\r\nContent-Length: 999999999999\r\n\r\n"),
              HasSubstr(" 413 "));
  EXPECT_EQ(Opened().status, 200) << "while the slow one still has said nothing of use";
}

}  // namespace
}  // namespace gateway::testing
