#include "serving/request_span.h"

#include <gmock/gmock.h>

#include <limits>

#include "tests/testing/span_capture.h"

namespace serving {
namespace {

using duet_testing::AttributeOf;

TEST(RequestSpanTest, WhatIsNotedIsAnAttribute) {
  const duet_testing::SpanCapture capture;
  tracing::Span span = tracing::StartRequest("", "request");
  RequestContext request("r1", span.traceparent());
  request.NoteInt("tasks", 3);
  request.NoteStr("embedding", "a \"hit\"\n");
  request.NoteBool("degraded", true);
  request.NoteNum("queue_ms", 0.5);
  request.NoteNum("lost_ms", std::numeric_limits<double>::infinity());
  EndRequestSpan(std::move(span), request);

  ASSERT_EQ(capture.spans().size(), 1u);
  const tracing::SpanData ended = capture.spans()[0];
  EXPECT_EQ(AttributeOf(ended, "duet.request_id"), "r1");
  EXPECT_EQ(AttributeOf(ended, "duet.tasks"), "3");
  EXPECT_EQ(AttributeOf(ended, "duet.embedding"), "a \"hit\"\n");
  EXPECT_EQ(AttributeOf(ended, "duet.degraded"), "true");
  EXPECT_EQ(AttributeOf(ended, "duet.queue_ms"), "0.500000");
  EXPECT_EQ(AttributeOf(ended, "duet.lost_ms"), "") << "null in the log";
}

}  // namespace
}  // namespace serving
