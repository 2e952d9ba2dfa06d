#include "otlp/trace_json.h"

#include <absl/strings/numbers.h>
#include <absl/time/time.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <variant>

#include "serving/version.h"

namespace otlp {
namespace {

namespace json = boost::json;

constexpr int kStatusError = 2;

json::value ToJson(const tracing::AttributeValue& value) {
  struct Visitor {
    json::value operator()(std::int64_t number) const {
      return {{"intValue", std::to_string(number)}};
    }
    json::value operator()(double number) const {
      // As Protobuf writes what JSON has no numbers for.
      if (std::isnan(number)) return {{"doubleValue", "NaN"}};
      if (std::isinf(number)) return {{"doubleValue", number > 0 ? "Infinity" : "-Infinity"}};
      return {{"doubleValue", number}};
    }
    json::value operator()(bool yes) const { return {{"boolValue", yes}}; }
    json::value operator()(const std::string& text) const { return {{"stringValue", text}}; }
  };
  return std::visit(Visitor(), value);
}

json::array ToJson(const Attributes& attributes) {
  json::array array;
  for (const auto& [key, value] : attributes) {
    array.push_back(json::object{{"key", key}, {"value", ToJson(value)}});
  }
  return array;
}

json::object ToJson(const tracing::SpanData& span) {
  json::object object{{"traceId", span.ids.trace_id()},
                      {"spanId", span.ids.span_id()},
                      {"flags", span.ids.flags},
                      {"name", span.name},
                      {"kind", static_cast<int>(span.kind)},
                      {"startTimeUnixNano", std::to_string(absl::ToUnixNanos(span.begin))},
                      {"endTimeUnixNano", std::to_string(absl::ToUnixNanos(span.end))},
                      {"attributes", ToJson(span.attributes)}};
  if (span.parent != 0) object["parentSpanId"] = tracing::SpanIds{.span = span.parent}.span_id();
  if (span.failed) object["status"] = {{"code", kStatusError}, {"message", span.error}};
  return object;
}

}  // namespace

std::string TraceRequestJson(const Attributes& resource, std::span<const tracing::SpanData> spans) {
  json::array written;
  for (const tracing::SpanData& span : spans) written.push_back(ToJson(span));
  const std::string_view version = serving::Version();
  const json::object request{
      {"resourceSpans",
       json::array{json::object{
           {"resource", json::object{{"attributes", ToJson(resource)}}},
           {"scopeSpans",
            json::array{json::object{
                {"scope",
                 json::object{{"name", "duet"},
                              {"version", json::string_view(version.data(), version.size())}}},
                {"spans", std::move(written)}}}}}}}};
  return json::serialize(request);
}

PartialSuccess ReadPartialSuccess(std::string_view body) {
  json::error_code error;
  const json::value answer = json::parse({body.data(), body.size()}, error);
  if (error || !answer.is_object()) return {};
  const json::value* const partial = answer.get_object().if_contains("partialSuccess");
  if (partial == nullptr || !partial->is_object()) return {};
  PartialSuccess result;
  if (const json::value* rejected = partial->get_object().if_contains("rejectedSpans")) {
    // Protobuf's JSON writes a string, and reads both.
    if (const auto* text = rejected->if_string()) {
      if (!absl::SimpleAtoi(absl::string_view(text->data(), text->size()),
                            &result.rejected_spans)) {
        return {};
      }
    } else if (const auto* number = rejected->if_int64()) {
      result.rejected_spans = *number;
    }
  }
  if (const json::value* message = partial->get_object().if_contains("errorMessage")) {
    if (const auto* text = message->if_string()) result.message = {text->data(), text->size()};
  }
  return result;
}

}  // namespace otlp
