#include "tracing/span.h"

#include <absl/random/random.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "text/utf8.h"

namespace tracing {
namespace {

constexpr std::size_t kMaxAttributes = 64;
constexpr std::size_t kMaxTextBytes = 1024;

// The process's tracer. Never destroyed: spans may end while the process does.
class Current {
 public:
  static Current& Get() {
    static Current* const current = new Current;
    return *current;
  }

  bool exists() const { return exists_.load(std::memory_order_relaxed); }
  std::shared_ptr<Tracer> tracer() {
    const std::lock_guard lock(mutex_);
    return tracer_;
  }
  void Set(std::shared_ptr<Tracer> tracer) {
    const std::lock_guard lock(mutex_);
    exists_ = tracer != nullptr;
    tracer_.swap(tracer);
  }

 private:
  std::atomic<bool> exists_{false};  // all that a span costs where there is none
  std::mutex mutex_;
  std::shared_ptr<Tracer> tracer_;  // guarded by mutex_
};

bool HasTracer() { return Current::Get().exists(); }

void Finished(SpanData span) {
  if (const auto tracer = Current::Get().tracer()) tracer->Take(std::move(span));
}

std::uint64_t NewId() {
  thread_local absl::BitGen random;
  return absl::Uniform<std::uint64_t>(absl::IntervalClosed, random, 1, ~std::uint64_t{0});
}

std::string Kept(std::string_view text) {
  return text::ToUtf8(text::Utf8Prefix(text, kMaxTextBytes));
}

}  // namespace

void SetTracer(std::shared_ptr<Tracer> tracer) { Current::Get().Set(std::move(tracer)); }

Span::Span(std::string_view parent, std::string_view name, SpanKind kind) : traceparent_(parent) {
  if (!HasTracer()) return;
  const SpanIds ids = ParseTraceparent(parent);
  if (ids.valid() && ids.sampled()) Begin(ids, name, kind);
}

void Span::Begin(SpanIds ids, std::string_view name, SpanKind kind) {
  const std::uint64_t parent = std::exchange(ids.span, NewId());
  traceparent_ = ids.Traceparent();
  data_ = std::make_unique<SpanData>(SpanData{
      .ids = ids, .parent = parent, .name = std::string(name), .kind = kind, .begin = absl::Now()});
}

void Span::SetName(std::string_view name) {
  if (data_ != nullptr) data_->name = std::string(name);
}

void Span::SetStr(std::string_view key, std::string_view value) {
  if (data_ != nullptr) Set(key, Kept(value));
}

void Span::Set(std::string_view key, AttributeValue value) {
  if (data_ == nullptr) return;
  auto& attributes = data_->attributes;
  const auto same = std::find_if(attributes.begin(), attributes.end(),
                                 [&](const auto& attribute) { return attribute.first == key; });
  if (same != attributes.end()) {
    same->second = std::move(value);
  } else if (attributes.size() < kMaxAttributes) {
    attributes.emplace_back(key, std::move(value));
  }
}

void Span::SetStatus(const absl::Status& status) {
  if (data_ == nullptr || status.ok()) return;
  data_->failed = true;
  data_->error =
      Kept(absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message()));
}

void Span::End() {
  if (data_ == nullptr) return;
  data_->end = std::max(data_->begin, absl::Now());
  Finished(std::move(*std::exchange(data_, nullptr)));
}

Span StartRequest(std::string_view traceparent, std::string_view name) {
  SpanIds ids = ParseTraceparent(traceparent);
  Span span(ids.Traceparent());
  const std::shared_ptr<Tracer> tracer = HasTracer() ? Current::Get().tracer() : nullptr;
  if (tracer == nullptr) return span;
  if (!ids.valid()) {
    ids = {.trace_high = NewId(), .trace_low = NewId()};
    ids.flags = tracer->Samples(ids) ? 1 : 0;
    if (!ids.sampled()) {
      // So that who is called doesn't begin a trace of its own.
      span.traceparent_ = SpanIds{ids.trace_high, ids.trace_low, NewId(), 0}.Traceparent();
    }
  }
  if (ids.sampled()) span.Begin(ids, name, SpanKind::kServer);
  return span;
}

void Record(std::string_view parent, std::string_view name, absl::Time begin, absl::Time end) {
  if (!HasTracer()) return;
  SpanIds ids = ParseTraceparent(parent);
  if (!ids.valid() || !ids.sampled()) return;
  const std::uint64_t within = std::exchange(ids.span, NewId());
  Finished({.ids = ids,
            .parent = within,
            .name = std::string(name),
            .begin = begin,
            .end = std::max(begin, end)});
}

void DescribeRpc(std::string_view method, Span& span) {
  if (!span.recording()) return;
  if (method.starts_with('/')) method.remove_prefix(1);
  const std::size_t slash = method.rfind('/');
  span.SetName(method);
  span.SetStr("rpc.system", "grpc");
  span.SetStr("rpc.service", method.substr(0, std::min(slash, method.size())));
  if (slash != method.npos) span.SetStr("rpc.method", method.substr(slash + 1));
}

}  // namespace tracing
