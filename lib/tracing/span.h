// Spans: which part of a request took how long, in which process.
//
// A request's spans are a tree that several processes grow. Where a new part begins is handed down
// as the text of W3C's header, in the way that request ids are:
//
//   tracing::Span span(call.traceparent, "fetch image");
//   span.SetInt("duet.image_bytes", size);
//   call.traceparent = span.traceparent();  // for what happens within
//
// A process without a tracer hands on its caller's trace as it came, and a Span costs
// it a copy of that text.
#ifndef DUET_TRACING_SPAN_H_
#define DUET_TRACING_SPAN_H_

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "tracing/span_data.h"

namespace tracing {

// What takes the spans of this process from now on; null, as in the beginning: there are none.
// Thread-safe.
void SetTracer(std::shared_ptr<Tracer> tracer);

// Ends, and is handed to the tracer, when it is destroyed or told to. For one thread at a time.
class Span {
 public:
  // Begins now, within the span that `parent` names. Records only if there is a tracer and
  // `parent` says that its trace is recorded; otherwise traceparent() is `parent`.
  Span(std::string_view parent, std::string_view name, SpanKind kind = SpanKind::kInternal);
  ~Span() { End(); }
  Span(Span&& other) noexcept = default;
  Span& operator=(Span&& other) = delete;

  // Of what happens within the span. "": there is no trace.
  const std::string& traceparent() const { return traceparent_; }
  bool recording() const { return data_ != nullptr; }

  void SetName(std::string_view name);
  // Names of OpenTelemetry's semantic conventions, or "duet.…". More than 64, and what is longer
  // than 1,024 bytes, is cut off. Bytes that are not UTF-8 become U+FFFD.
  void SetInt(std::string_view key, std::int64_t value) { Set(key, value); }
  void SetNum(std::string_view key, double value) { Set(key, value); }
  void SetBool(std::string_view key, bool value) { Set(key, value); }
  void SetStr(std::string_view key, std::string_view value);
  // Unless it is OK, the span has failed.
  void SetStatus(const absl::Status& status);
  // Now; nothing if it has ended.
  void End();
  // It is not to be recorded after all. What began within it stays.
  void Discard() { data_ = nullptr; }

 private:
  friend Span StartRequest(std::string_view traceparent, std::string_view name);

  explicit Span(std::string traceparent) : traceparent_(std::move(traceparent)) {}
  void Set(std::string_view key, AttributeValue value);
  // `ids`: the trace, and the span within which this one begins; 0: none.
  void Begin(SpanIds ids, std::string_view name, SpanKind kind);

  std::string traceparent_;
  std::unique_ptr<SpanData> data_;  // null: nothing is recorded
};

// The span of a request that this process serves. It is part of its caller's trace, and recorded if
// that is; if `traceparent` isn't well-formed it begins a trace, which the tracer samples. Without
// a tracer it records nothing, and its traceparent() is the caller's, or "" unless that is
// well-formed.
Span StartRequest(std::string_view traceparent, std::string_view name);

// What has happened already within `parent`: a span from `begin` to `end`.
void Record(std::string_view parent, std::string_view name, absl::Time begin, absl::Time end);

// Names the span of a gRPC call, "/duet.detector.v1.Detector/Detect", and sets rpc.system,
// rpc.service and rpc.method.
void DescribeRpc(std::string_view method, Span& span);

}  // namespace tracing

#endif  // DUET_TRACING_SPAN_H_
