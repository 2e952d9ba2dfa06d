#include "tracing/span.h"

#include <absl/time/clock.h>
#include <gmock/gmock.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/testing/span_capture.h"

namespace tracing {
namespace {

using duet_testing::AttributeOf;
using duet_testing::SpanCapture;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kSampled[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr char kNotSampled[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

TEST(SpanTest, WithoutATracerTheCallersTraceIsHandedOnAsItCame) {
  const Span request = StartRequest(kSampled, "request");
  Span child(request.traceparent(), "child", SpanKind::kClient);
  child.SetStr("key", "value");
  child.SetStatus(absl::InternalError("no"));

  EXPECT_FALSE(child.recording());
  EXPECT_EQ(child.traceparent(), kSampled);
  EXPECT_EQ(StartRequest("", "request").traceparent(), "");
  EXPECT_EQ(StartRequest("rubbish", "request").traceparent(), "");
}

TEST(SpanTest, ARequestIsPartOfItsCallersTrace) {
  const SpanCapture capture(/*ratio=*/0);  // the caller decides
  std::string handed_on;
  {
    const Span request = StartRequest(kSampled, "request");
    const Span child(request.traceparent(), "child");
    handed_on = child.traceparent();
  }

  const auto spans = capture.spans();
  ASSERT_THAT(spans, SizeIs(2));
  const SpanData& child = spans[0];
  const SpanData& request = spans[1];
  EXPECT_EQ(request.ids.trace_id(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(request.parent, 0xb7ad6b7169203331u);
  EXPECT_EQ(request.kind, SpanKind::kServer);
  EXPECT_EQ(child.ids.trace_id(), request.ids.trace_id());
  EXPECT_EQ(child.parent, request.ids.span);
  EXPECT_EQ(child.kind, SpanKind::kInternal);
  EXPECT_EQ(child.ids.Traceparent(), handed_on);
  EXPECT_NE(child.ids.span, request.ids.span);
  EXPECT_LE(request.begin, child.begin);
  EXPECT_LE(child.end, request.end);
}

TEST(SpanTest, ACallersTraceThatIsNotSampledIsNotRecordedButHandedOn) {
  const SpanCapture capture(/*ratio=*/1);
  {
    const Span request = StartRequest(kNotSampled, "request");
    EXPECT_EQ(Span(request.traceparent(), "child").traceparent(), kNotSampled);
    Record(request.traceparent(), "earlier", absl::Now(), absl::Now());
    Record("", "nowhere", absl::Now(), absl::Now());
    EXPECT_EQ(Span("", "nowhere").traceparent(), "") << "only requests begin traces";
  }
  EXPECT_THAT(capture.spans(), IsEmpty());
}

TEST(SpanTest, WithoutACallersTraceOneBegins) {
  {
    const SpanCapture all(/*ratio=*/1);
    StartRequest("rubbish", "request").End();
    ASSERT_THAT(all.spans(), SizeIs(1));
    EXPECT_EQ(all.spans()[0].parent, 0u) << "the root";
    EXPECT_TRUE(all.spans()[0].ids.sampled());
  }
  const SpanCapture none(/*ratio=*/0);
  const Span unrecorded = StartRequest("", "request");
  EXPECT_FALSE(unrecorded.recording());
  const SpanIds ids = ParseTraceparent(unrecorded.traceparent());
  EXPECT_TRUE(ids.valid()) << "so that who is called doesn't sample it";
  EXPECT_FALSE(ids.sampled());
}

TEST(SpanTest, EndsOnceWhateverBecomesOfTheObject) {
  const SpanCapture capture;
  {
    Span first = StartRequest("", "first");
    Span moved = std::move(first);
    EXPECT_THAT(capture.spans(), IsEmpty());
    moved.End();
    moved.End();
    ASSERT_THAT(capture.spans(), SizeIs(1));
    Span unwanted = StartRequest("", "unwanted");
    unwanted.Discard();
  }
  EXPECT_THAT(capture.spans(), SizeIs(1));
}

TEST(SpanTest, WhatEndsAfterTheTracerIsGoneIsDropped) {
  std::vector<Span> late;
  {
    const SpanCapture capture;
    late.push_back(StartRequest("", "late"));
  }
  const SpanCapture next;
  late.clear();
  EXPECT_THAT(next.spans(), SizeIs(1)) << "the one that is there takes it";
}

TEST(SpanTest, SaysWhatItWas) {
  const SpanCapture capture;
  Span span = StartRequest("", "x");
  DescribeRpc("/duet.detector.v1.Detector/Detect", span);
  span.SetInt("n", 1);
  span.SetInt("n", 2);
  span.SetBool("yes", true);
  span.SetStatus(absl::OkStatus());
  span.SetStatus(absl::UnavailableError("it drains"));
  span.End();

  const SpanData data = capture.spans()[0];
  EXPECT_EQ(data.name, "duet.detector.v1.Detector/Detect");
  EXPECT_EQ(AttributeOf(data, "rpc.service"), "duet.detector.v1.Detector");
  EXPECT_EQ(AttributeOf(data, "rpc.method"), "Detect");
  EXPECT_EQ(AttributeOf(data, "n"), "2") << "the last one counts";
  EXPECT_EQ(AttributeOf(data, "yes"), "true");
  EXPECT_TRUE(data.failed);
  EXPECT_EQ(data.error, "UNAVAILABLE: it drains");
}

TEST(SpanTest, WhatItHoldsIsBounded) {
  const SpanCapture capture;
  Span span = StartRequest("", "x");
  for (int i = 0; i < 1000; ++i) span.SetInt("key" + std::to_string(i), i);
  span.SetStr("key0", std::string(1 << 20, 'x'));
  span.SetStr("key1", "caf\xE9");
  span.SetStatus(absl::InternalError(std::string(1 << 20, 'x')));
  span.End();

  const SpanData data = capture.spans()[0];
  EXPECT_THAT(data.attributes, SizeIs(64));
  EXPECT_THAT(AttributeOf(data, "key0"), SizeIs(1024));
  EXPECT_EQ(AttributeOf(data, "key1"), "caf\xEF\xBF\xBD") << "valid UTF-8";
  EXPECT_THAT(data.error, SizeIs(1024));
}

TEST(SpanTest, RecordsWhatHasHappened) {
  const SpanCapture capture;
  const absl::Time begin = absl::FromUnixSeconds(1000);
  Record(kSampled, "queue", begin, begin + absl::Milliseconds(5));

  const SpanData data = capture.spans()[0];
  EXPECT_EQ(data.parent, 0xb7ad6b7169203331u);
  EXPECT_EQ(data.begin, begin);
  EXPECT_EQ(data.end - data.begin, absl::Milliseconds(5));
}

TEST(SpanTest, ManyThreadsRecordWhileTheTracerComesAndGoes) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 1000; ++i) StartRequest(kSampled, "x").SetInt("i", i);
    });
  }
  for (int i = 0; i < 100; ++i) const SpanCapture capture;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace tracing
