#include "tracing/span_data.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include <cmath>

namespace tracing {
namespace {

constexpr std::string_view kShape = "00-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
constexpr std::size_t kTraceAt = 3, kSpanAt = 36, kFlagsAt = 53;

// REQUIRES: `text` has at least `digits` lower-case hex digits from `at` on, at most 16.
std::uint64_t HexAt(std::string_view text, std::size_t at, std::size_t digits) {
  std::uint64_t value = 0;
  for (const char c : text.substr(at, digits)) {
    value = value << 4 | static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return value;
}

}  // namespace

std::string SpanIds::trace_id() const {
  return absl::StrCat(absl::Hex(trace_high, absl::kZeroPad16),
                      absl::Hex(trace_low, absl::kZeroPad16));
}

std::string SpanIds::span_id() const { return absl::StrCat(absl::Hex(span, absl::kZeroPad16)); }

std::string SpanIds::Traceparent() const {
  if (!valid()) return "";
  return absl::StrCat("00-", absl::Hex(trace_high, absl::kZeroPad16),
                      absl::Hex(trace_low, absl::kZeroPad16), "-",
                      absl::Hex(span, absl::kZeroPad16), "-", absl::Hex(flags, absl::kZeroPad2));
}

SpanIds ParseTraceparent(std::string_view text) {
  if (text.size() != kShape.size()) return {};
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hex = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    if (kShape[i] == 'h' ? !hex : text[i] != kShape[i]) return {};
  }
  const SpanIds ids{.trace_high = HexAt(text, kTraceAt, 16),
                    .trace_low = HexAt(text, kTraceAt + 16, 16),
                    .span = HexAt(text, kSpanAt, 16),
                    .flags = static_cast<std::uint8_t>(HexAt(text, kFlagsAt, 2))};
  return ids.valid() ? ids : SpanIds();
}

std::size_t SpanData::bytes() const {
  std::size_t total = sizeof *this + name.capacity() + error.capacity() +
                      attributes.capacity() * sizeof attributes.front();
  for (const auto& [key, value] : attributes) {
    total += key.capacity();
    if (const auto* text = std::get_if<std::string>(&value)) total += text->capacity();
  }
  return total;
}

bool Tracer::Samples(const SpanIds& root) const {
  // The last 56 bits, which W3C wants to be random. Not as a double, which has 53.
  constexpr int kBits = 56;
  const auto most = static_cast<std::uint64_t>(std::ldexp(ratio_, kBits));
  return (root.trace_low & ((std::uint64_t{1} << kBits) - 1)) < most;
}

}  // namespace tracing
