// The spans of a gateway: one tree a request, whose branches the services go on with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/gateway/gateway_test.h"
#include "tests/integration/gateway/tiny_http_server.h"
#include "tests/testing/span_capture.h"

namespace gateway::testing {
namespace {

using duet_testing::AttributeOf;
using duet_testing::SpanCapture;
using tracing::SpanData;
using tracing::SpanKind;

constexpr char kMasks[] = R"(<View><Image name="image" value="$image"/>
  <RectangleLabels name="rect" toName="image"><Label value="cat"/></RectangleLabels>
  <BrushLabels name="brush" toName="image"><Label value="cat"/></BrushLabels></View>)";
constexpr char kTrace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr char kNotSampled[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

class TracesTest : public GatewayTest {
 protected:
  Reply Predict(const std::string& traceparent, const std::string& uri = PngDataUri(320, 240)) {
    return harness_->Send("POST", "/predict", boost::json::serialize(PredictBody(kMasks, {uri})),
                          {{"traceparent", traceparent}, {"X-Request-Id", "r1"}});
  }
  // The span of this name. A request's own ends a moment after its answer has arrived.
  SpanData Await(const std::string& name) {
    while (!capture_->Find(name)) std::this_thread::yield();
    return *capture_->Find(name);
  }
  // What the services were sent with calls of this method.
  std::string SentWith(const std::string& method) {
    for (const auto& call : services_.seen()) {
      if (call.method == method && !call.traceparent.empty()) return call.traceparent;
    }
    return "";
  }

  void Trace() { capture_.emplace(); }

  std::optional<SpanCapture> capture_;
};

TEST_F(TracesTest, APredictionIsOneTree) {
  Trace();
  Start();
  ASSERT_EQ(Predict(kTrace).status, 200);

  const SpanData request = Await("POST /predict");
  EXPECT_EQ(request.ids.trace_id(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(request.parent, 0xb7ad6b7169203331u);
  EXPECT_EQ(request.kind, SpanKind::kServer);
  EXPECT_EQ(AttributeOf(request, "http.route"), "/predict");
  EXPECT_EQ(AttributeOf(request, "http.response.status_code"), "200");
  EXPECT_EQ(AttributeOf(request, "duet.request_id"), "r1");
  EXPECT_EQ(AttributeOf(request, "duet.tasks"), "1");

  const SpanData task = Await("predict task");
  EXPECT_EQ(task.parent, request.ids.span);
  EXPECT_EQ(AttributeOf(task, "duet.task_id"), "1");
  const SpanData image = Await("fetch image");
  EXPECT_EQ(image.parent, task.ids.span);
  EXPECT_EQ(AttributeOf(image, "duet.cached"), "false");
  EXPECT_EQ(Await("write regions").parent, task.ids.span);
  for (const std::string method : {"detector.v1.Detector/Detect", "segmenter.v1.Segmenter/Embed",
                                   "segmenter.v1.Segmenter/Segment"}) {
    const SpanData call = Await("duet." + method);
    EXPECT_EQ(call.parent, task.ids.span) << method;
    EXPECT_EQ(call.kind, SpanKind::kClient) << method;
    EXPECT_EQ(AttributeOf(call, "server.address"), services_.address()) << method;
    EXPECT_EQ(SentWith(method.substr(method.rfind('/') + 1)), call.ids.Traceparent())
        << "the service's spans are within the call's";
  }
}

TEST_F(TracesTest, AnImageThatIsKeptIsSaidToBe) {
  const std::string png = DecodedDataUri(PngDataUri(320, 240));
  const duet_testing::TinyHttpServer images([&png](const auto&) {
    return duet_testing::TinyResponse{.headers = {"Content-Type: image/png"}, .body = png};
  });
  Trace();
  Start({.allowed_private = {"127.0.0.1"}});
  ASSERT_EQ(Predict(kTrace, images.url() + "/a.png").status, 200);
  ASSERT_EQ(Predict(kTrace, images.url() + "/a.png").status, 200);
  std::vector<std::string> cached;
  for (const SpanData& span : capture_->spans()) {
    if (span.name == "fetch image") cached.push_back(AttributeOf(span, "duet.cached"));
  }
  EXPECT_THAT(cached, ::testing::ElementsAre("false", "true"));
}

TEST_F(TracesTest, WhatItsCallerDoesNotSampleIsNotRecordedAndHandedOnUnchanged) {
  Trace();
  Start();
  ASSERT_EQ(Predict(kNotSampled).status, 200);
  EXPECT_EQ(SentWith("Detect"), kNotSampled);
  ASSERT_EQ(Predict(kTrace).status, 200);
  const SpanData first = Await("POST /predict");
  EXPECT_EQ(first.parent, 0xb7ad6b7169203331u);
  for (const SpanData& span : capture_->spans()) EXPECT_TRUE(span.ids.sampled()) << span.name;
}

TEST_F(TracesTest, AGatewayThatDoesNotTraceHandsOnTheTrace) {
  Start();
  ASSERT_EQ(Predict(kTrace).status, 200);
  EXPECT_EQ(SentWith("Detect"), kTrace);
}

TEST_F(TracesTest, ProbesAndRefusalsAreNotRecordedFailuresAre) {
  services_.on_detect = [](auto&, const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::INTERNAL, "broken");
  };
  Trace();
  Harness& gateway = Start();
  for (const char* const path : {"/health", "/livez", "/readyz", "/metrics"}) gateway.Get(path);
  gateway.Get("/nowhere");
  ASSERT_EQ(Predict("").status, 500);

  const SpanData request = Await("POST /predict");
  EXPECT_EQ(request.parent, 0u) << "a trace of its own";
  EXPECT_TRUE(request.failed);
  EXPECT_TRUE(Await("predict task").failed);
  EXPECT_TRUE(Await("duet.detector.v1.Detector/Detect").failed);
  for (const SpanData& span : capture_->spans()) {
    EXPECT_EQ(span.name.find("GET"), span.name.npos) << span.name;
  }
}

}  // namespace
}  // namespace gateway::testing
