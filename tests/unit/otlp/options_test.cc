#include "otlp/options.h"

#include <gmock/gmock.h>

#include <map>
#include <string>
#include <utility>
#include <variant>

#include "tests/testing/status_matchers.h"
#include "tracing/span.h"

namespace otlp {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kSampled[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

absl::StatusOr<ExporterOptions> Read(const std::string& endpoint,
                                     std::map<std::string, std::string> variables = {}) {
  return ReadOptions({.endpoint = endpoint, .sample = 0.25}, "duet-gateway",
                     [&](const char* name) { return variables[name]; });
}

std::string TextOf(const Attributes& attributes, const std::string& key) {
  for (const auto& [name, value] : attributes) {
    const auto* const text = std::get_if<std::string>(&value);
    if (name == key && text != nullptr) return *text;
  }
  return "";
}

TEST(OtlpOptionsTest, WithoutAnEndpointNothingIsTraced) {
  serving::Metrics metrics;
  const auto tracing = StartTracing({}, "duet-gateway", metrics);
  ASSERT_THAT(tracing, IsOk());
  EXPECT_FALSE(tracing::StartRequest(kSampled, "request").recording());
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("duet_trace")));
}

TEST(OtlpOptionsTest, AProcessTracesAsLongAsItsTracing) {
  serving::Metrics metrics;
  {
    // Nobody listens at this port.
    const auto tracing = StartTracing({.endpoint = "http://127.0.0.1:1"}, "duet-gateway", metrics);
    ASSERT_THAT(tracing, IsOk());
    tracing::Span span = tracing::StartRequest(kSampled, "request");
    EXPECT_TRUE(span.recording());
    span.Discard();
  }
  EXPECT_FALSE(tracing::StartRequest(kSampled, "request").recording());
}

TEST(OtlpOptionsTest, SaysWhatTheProcessIs) {
  const auto options = Read("http://collector:4318");
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->ratio, 0.25);
  EXPECT_EQ(TextOf(options->resource, "service.name"), "duet-gateway");
  EXPECT_THAT(TextOf(options->resource, "service.version"), Not(""));
  EXPECT_NE(TextOf(options->resource, "service.instance.id"),
            TextOf(Read("http://collector:4318")->resource, "service.instance.id"));
}

TEST(OtlpOptionsTest, TheStandardVariablesSayMore) {
  const auto options =
      Read("https://collector",
           {{"OTEL_SERVICE_NAME", "labels"},
            {"OTEL_RESOURCE_ATTRIBUTES", "service.name=other, k8s.pod.name = p-1 ,note=a%2Cb%3D"},
            {"OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cr%20et=,x=1"}});
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(TextOf(options->resource, "service.name"), "labels");
  EXPECT_EQ(TextOf(options->resource, "k8s.pod.name"), "p-1");
  EXPECT_EQ(TextOf(options->resource, "note"), "a,b=");
  EXPECT_THAT(options->headers, ElementsAre("api-key: s3cr et=", "x: 1"));
}

TEST(OtlpOptionsTest, WhatCannotBeReadIsNamed) {
  for (const char* const endpoint : {"collector:4318", "ftp://collector", "http://", "4318"}) {
    EXPECT_THAT(Read(endpoint), StatusIs(absl::StatusCode::kInvalidArgument,
                                         AllOf(HasSubstr("--otlp_endpoint"), HasSubstr("http"))))
        << endpoint;
  }
  EXPECT_THAT(Read("http://c", {{"OTEL_EXPORTER_OTLP_HEADERS", "a=1,s3cret"}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("OTEL_EXPORTER_OTLP_HEADERS"), HasSubstr("part 2"),
                             Not(HasSubstr("s3cret")))));
  EXPECT_THAT(Read("http://c", {{"OTEL_EXPORTER_OTLP_HEADERS", "a=1%0D%0Ab: 2"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line's end")));
}

}  // namespace
}  // namespace otlp
