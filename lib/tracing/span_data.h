// A finished span as plain values, and who takes it.
#ifndef DUET_TRACING_SPAN_DATA_H_
#define DUET_TRACING_SPAN_DATA_H_

#include <absl/time/time.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tracing {

// The place of a span: the trace that it is part of, and itself. All zero: none. The flags are
// W3C's (https://www.w3.org/TR/trace-context/), where bit 0 says that the trace is recorded.
struct SpanIds {
  std::uint64_t trace_high = 0;  // the first 16 of the trace id's 32 hex digits
  std::uint64_t trace_low = 0;
  std::uint64_t span = 0;
  std::uint8_t flags = 0;

  bool valid() const { return span != 0 && (trace_high != 0 || trace_low != 0); }
  bool sampled() const { return (flags & 1) != 0; }
  std::string trace_id() const;  // 32 lower-case hex digits
  std::string span_id() const;   // 16
  // "00-<trace id>-<span id>-<flags>"; "" unless valid().
  std::string Traceparent() const;
  bool operator==(const SpanIds&) const = default;
};

// Of a traceparent of version 00; none for any other text.
SpanIds ParseTraceparent(std::string_view text);

// Whose work a span is, by OpenTelemetry's numbers.
enum class SpanKind { kInternal = 1, kServer = 2, kClient = 3 };

using AttributeValue = std::variant<std::int64_t, double, bool, std::string>;

struct SpanData {
  SpanIds ids;
  std::uint64_t parent = 0;  // its span; 0: this is the root
  std::string name;          // of few different ones
  SpanKind kind = SpanKind::kInternal;
  absl::Time begin;
  absl::Time end;
  std::vector<std::pair<std::string, AttributeValue>> attributes;
  bool failed = false;
  std::string error;  // why, if it failed

  // What it takes in memory, nearly.
  std::size_t bytes() const;
};

// Decides which new traces are recorded, and takes finished spans. Thread-safe.
class Tracer {
 public:
  // `ratio`, 0 to 1: how many of the traces that begin here are recorded.
  explicit Tracer(double ratio) : ratio_(ratio) {}
  virtual ~Tracer() = default;
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  // Decided by the trace id alone, so that all who use the same ratio agree.
  bool Samples(const SpanIds& root) const;
  // Never waits for anything but a short lock.
  virtual void Take(SpanData span) = 0;

 private:
  const double ratio_;
};

}  // namespace tracing

#endif  // DUET_TRACING_SPAN_DATA_H_
