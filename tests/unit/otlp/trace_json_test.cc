#include "otlp/trace_json.h"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <limits>
#include <string>
#include <vector>

#include "serving/version.h"

namespace otlp {
namespace {

namespace json = boost::json;
using tracing::SpanData;
using tracing::SpanKind;

// Each form is the specification's own (https://opentelemetry.io/docs/specs/otlp/#otlphttp and
// opentelemetry-proto's examples/trace.json).
TEST(TraceJsonTest, IsWhatTheSpecificationShows) {
  SpanData span{.ids = {.trace_high = 0x5B8EFFF798038103,
                        .trace_low = 0xD269B633813FC60C,
                        .span = 0xEEE19B7EC3C1B174,
                        .flags = 1},
                .parent = 0xEEE19B7EC3C1B173,
                .name = "I'm a server span",
                .kind = SpanKind::kServer,
                .begin = absl::FromUnixNanos(1544712660000000001),
                .end = absl::FromUnixNanos(1544712661000000000)};
  span.attributes = {{"my.span.attr", std::string("some value")},
                     {"count", std::int64_t{9007199254740993}},
                     {"ratio", 0.5},
                     {"yes", true}};

  const json::value found =
      json::parse(TraceRequestJson({{"service.name", std::string("my.service")}}, {{span}}));

  const json::value expected = json::parse(R"({
    "resourceSpans": [{
      "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
      "scopeSpans": [{
        "scope": {"name": "duet", "version": ")" +
                                           std::string(serving::Version()) + R"("},
        "spans": [{
          "traceId": "5b8efff798038103d269b633813fc60c",
          "spanId": "eee19b7ec3c1b174",
          "parentSpanId": "eee19b7ec3c1b173",
          "flags": 1,
          "name": "I'm a server span",
          "startTimeUnixNano": "1544712660000000001",
          "endTimeUnixNano": "1544712661000000000",
          "kind": 2,
          "attributes": [
            {"key": "my.span.attr", "value": {"stringValue": "some value"}},
            {"key": "count", "value": {"intValue": "9007199254740993"}},
            {"key": "ratio", "value": {"doubleValue": 0.5}},
            {"key": "yes", "value": {"boolValue": true}}
          ]
        }]
      }]
    }]
  })");
  EXPECT_EQ(found, expected);
}

TEST(TraceJsonTest, ARootHasNoParentAndAFailureSaysWhy) {
  SpanData span{.ids = {.trace_high = 0, .trace_low = 1, .span = 2, .flags = 1}, .name = "x"};
  span.failed = true;
  span.error = "INTERNAL: no";
  const json::value found = json::parse(TraceRequestJson({}, {{span}}));
  const json::object& written =
      found.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").at(0).as_object();
  EXPECT_EQ(written.at("traceId"), "00000000000000000000000000000001");
  EXPECT_FALSE(written.contains("parentSpanId"));
  EXPECT_EQ(written.at("status"), json::value({{"code", 2}, {"message", "INTERNAL: no"}}));
}

TEST(TraceJsonTest, NumbersThatJsonDoesNotHaveAreWrittenAsProtobufDoes) {
  SpanData span{.ids = {.trace_high = 0, .trace_low = 1, .span = 2, .flags = 1}, .name = "x"};
  span.attributes = {{"a", std::numeric_limits<double>::quiet_NaN()},
                     {"b", -std::numeric_limits<double>::infinity()}};
  const std::string text = TraceRequestJson({}, {{span}});
  EXPECT_THAT(text, testing::HasSubstr(R"({"doubleValue":"NaN"})"));
  EXPECT_THAT(text, testing::HasSubstr(R"({"doubleValue":"-Infinity"})"));
}

TEST(PartialSuccessTest, IsReadInBothForms) {
  EXPECT_EQ(ReadPartialSuccess("{}").rejected_spans, 0);
  EXPECT_EQ(ReadPartialSuccess(R"({"partialSuccess":{}})").rejected_spans, 0);
  const PartialSuccess text =
      ReadPartialSuccess(R"({"partialSuccess":{"rejectedSpans":"3","errorMessage":"old"}})");
  EXPECT_EQ(text.rejected_spans, 3);
  EXPECT_EQ(text.message, "old");
  EXPECT_EQ(ReadPartialSuccess(R"({"partialSuccess":{"rejectedSpans":4}})").rejected_spans, 4);
  for (const char* const rubbish :
       {"", "no json", "[]", R"({"partialSuccess":3})",
        R"({"partialSuccess":{"rejectedSpans":"x"}})",
        R"({"partialSuccess":{"rejectedSpans":[],"errorMessage":1}})"}) {
    EXPECT_EQ(ReadPartialSuccess(rubbish).rejected_spans, 0) << rubbish;
  }
}

}  // namespace
}  // namespace otlp
