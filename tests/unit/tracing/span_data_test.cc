#include "tracing/span_data.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace tracing {
namespace {

struct FixedRatio final : public Tracer {
  using Tracer::Tracer;
  void Take(SpanData) override {}
};

constexpr char kTrace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(SpanIdsTest, ATraceparentIsReadAndWrittenUnchanged) {
  const SpanIds ids = ParseTraceparent(kTrace);
  EXPECT_EQ(ids.trace_id(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(ids.span_id(), "b7ad6b7169203331");
  EXPECT_TRUE(ids.sampled());
  EXPECT_EQ(ids.Traceparent(), kTrace);

  const std::string other = "00-00000000000000010000000000000002-0000000000000003-fe";
  EXPECT_FALSE(ParseTraceparent(other).sampled());
  EXPECT_EQ(ParseTraceparent(other).Traceparent(), other) << "zeros and unknown flags stay";
}

TEST(SpanIdsTest, WhatIsNotW3cIsNoTrace) {
  const std::string good = kTrace;
  for (const std::string& text :
       std::vector<std::string>{"", good.substr(1), "01" + good.substr(2), good + "0",
                                "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                                "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"}) {
    EXPECT_FALSE(ParseTraceparent(text).valid()) << text;
    EXPECT_EQ(ParseTraceparent(text).Traceparent(), "") << text;
  }
}

TEST(TracerTest, TheTraceIdDecidesWhatIsSampled) {
  // The last 56 bits of the id are a number from 0 to 1: here 0, one half less a bit, one half.
  const SpanIds zero{.trace_high = ~0ULL, .trace_low = 0xFF00'0000'0000'0000, .span = 1};
  const SpanIds below{.trace_high = 1, .trace_low = 0x007F'FFFF'FFFF'FFFF, .span = 1};
  const SpanIds half{.trace_high = 1, .trace_low = 0x0080'0000'0000'0000, .span = 1};
  const SpanIds most{.trace_high = 1, .trace_low = 0x00FF'FFFF'FFFF'FFFF, .span = 1};
  EXPECT_FALSE(FixedRatio(0).Samples(zero));
  EXPECT_TRUE(FixedRatio(0.5).Samples(zero));
  EXPECT_TRUE(FixedRatio(0.5).Samples(below));
  EXPECT_FALSE(FixedRatio(0.5).Samples(half));
  EXPECT_TRUE(FixedRatio(1).Samples(most)) << "all of them";
}

TEST(SpanDataTest, BytesGrowWithWhatItHolds) {
  SpanData span;
  const std::size_t empty = span.bytes();
  span.attributes.emplace_back("key", std::string(1000, 'x'));
  EXPECT_GE(span.bytes(), empty + 1000);
}

}  // namespace
}  // namespace tracing
