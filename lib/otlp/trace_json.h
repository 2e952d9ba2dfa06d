// Spans as OTLP writes them in JSON: the body of a POST to a collector's /v1/traces.
//
// https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids are hex, 64-bit integers
// are strings, enums are numbers.
#ifndef DUET_OTLP_TRACE_JSON_H_
#define DUET_OTLP_TRACE_JSON_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tracing/span_data.h"

namespace otlp {

using Attributes = std::vector<std::pair<std::string, tracing::AttributeValue>>;

// `resource`: what is said of the process ("service.name", ...). Strings are UTF-8.
std::string TraceRequestJson(const Attributes& resource, std::span<const tracing::SpanData> spans);

// How many spans a collector that answered 200 with this body didn't take all the same, and why.
struct PartialSuccess {
  std::int64_t rejected_spans = 0;
  std::string message = {};
};
// None for a body that says nothing of it, or is no JSON.
PartialSuccess ReadPartialSuccess(std::string_view body);

}  // namespace otlp

#endif  // DUET_OTLP_TRACE_JSON_H_
