// Collects the spans that this process records while it lives. One at a time.
#ifndef DUET_TESTS_TESTING_SPAN_CAPTURE_H_
#define DUET_TESTS_TESTING_SPAN_CAPTURE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tracing/span.h"
#include "tracing/span_data.h"

namespace duet_testing {

// Thread-safe.
class SpanCapture {
 public:
  // `ratio`: Tracer's.
  explicit SpanCapture(double ratio = 1) : kept_(std::make_shared<Kept>(ratio)) {
    tracing::SetTracer(kept_);
  }
  ~SpanCapture() { tracing::SetTracer(nullptr); }
  SpanCapture(const SpanCapture&) = delete;
  SpanCapture& operator=(const SpanCapture&) = delete;

  // In the order in which they ended.
  std::vector<tracing::SpanData> spans() const {
    const std::lock_guard lock(kept_->mutex);
    return kept_->spans;
  }
  // The first that has ended of this name.
  std::optional<tracing::SpanData> Find(std::string_view name) const {
    for (const tracing::SpanData& span : spans()) {
      if (span.name == name) return span;
    }
    return std::nullopt;
  }

 private:
  struct Kept final : public tracing::Tracer {
    using Tracer::Tracer;
    void Take(tracing::SpanData span) override {
      const std::lock_guard lock(mutex);
      spans.push_back(std::move(span));
    }
    std::mutex mutex;
    std::vector<tracing::SpanData> spans;  // guarded by mutex
  };
  const std::shared_ptr<Kept> kept_;
};

// An attribute as text: "3", "true", "cat"; "" if the span doesn't have it.
inline std::string AttributeOf(const tracing::SpanData& span, std::string_view key) {
  struct Visitor {
    std::string operator()(std::int64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const { return std::to_string(number); }
    std::string operator()(bool yes) const { return yes ? "true" : "false"; }
    std::string operator()(const std::string& text) const { return text; }
  };
  for (const auto& [name, value] : span.attributes) {
    if (name == key) return std::visit(Visitor(), value);
  }
  return "";
}

}  // namespace duet_testing

#endif  // DUET_TESTS_TESTING_SPAN_CAPTURE_H_
