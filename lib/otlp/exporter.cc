#include "otlp/exporter.h"

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <exception>
#include <utility>

#include "http_client/url.h"
#include "serving/exceptions.h"
#include "serving/log.h"
#include "text/url.h"
#include "text/utf8.h"

namespace otlp {
namespace {

constexpr std::int64_t kMaxAnswerBytes = 64 << 10;
constexpr std::size_t kMaxSaidBytes = 200;  // of its answer, in a log line

// Whether the collector may take the same spans later, by the specification's list.
bool IsPassing(int http_status) {
  return http_status == 429 || http_status == 502 || http_status == 503 || http_status == 504;
}

// OK, unless a collector that has answered 200 refuses spans all the same, or takes them and warns.
absl::Status Complaint(const PartialSuccess& taken) {
  if (taken.rejected_spans <= 0 && taken.message.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("it answered HTTP 200 and refused ", taken.rejected_spans,
                   " spans: ", text::ToUtf8(text::Utf8Prefix(taken.message, kMaxSaidBytes))));
}

}  // namespace

Exporter::Exporter(ExporterOptions options, serving::Metrics& metrics)
    : Tracer(options.ratio),
      options_(std::move(options)),
      url_(
          absl::StrCat(std::string(text::WithoutTrailingSlashes(options_.endpoint)), "/v1/traces")),
      sent_(metrics.Get(kTraceSpans, {"sent"})),
      refused_(metrics.Get(kTraceSpans, {"refused"})),
      full_(metrics.Get(kTraceSpans, {"full"})),
      lost_(metrics.Get(kTraceSpans, {"lost"})),
      loop_(policy_, nullptr),
      thread_([this] { Run(); }) {}

Exporter::~Exporter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    give_up_ = absl::Now() + options_.last_words;
  }
  changed_.notify_all();
  thread_.join();
  if (!queue_.empty()) lost_.Increment(static_cast<double>(queue_.size()));
}

void Exporter::Take(tracing::SpanData span) {
  const std::size_t bytes = span.bytes();
  std::size_t waiting = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_ && queued_bytes_ + bytes <= options_.max_queue_bytes) {
      queue_.push_back(std::move(span));
      queued_bytes_ += bytes;
      waiting = queue_.size();
    }
  }
  if (waiting == 0) full_.Increment();
  // What the thread waits for; otherwise it isn't woken.
  if (waiting == 1 || waiting == options_.batch_spans) changed_.notify_all();
}

bool Exporter::IsOver() const { return stopping_ && absl::Now() >= give_up_; }

void Exporter::Run() {
  while (true) {
    const absl::Status status = serving::CatchAll("send traces", [this] {
      for (Batch batch = NextBatch(); !batch.empty(); batch = NextBatch()) Send(batch);
    });
    if (status.ok()) return;
    Note(status);  // out of memory; the batch is lost
  }
}

Exporter::Batch Exporter::NextBatch() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  changed_.wait_for(lock, absl::ToChronoNanoseconds(options_.batch_time),
                    [this] { return stopping_ || queue_.size() >= options_.batch_spans; });
  Batch batch;
  if (IsOver()) return batch;
  while (!queue_.empty() && batch.size() < options_.batch_spans) {
    queued_bytes_ -= queue_.front().bytes();
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

void Exporter::Send(const Batch& batch) {
  const std::string body = TraceRequestJson(options_.resource, batch);
  absl::Duration pause = options_.first_pause;
  while (true) {
    const absl::StatusOr<PartialSuccess> taken = Post(body);
    Note(taken.ok() ? Complaint(*taken) : taken.status());
    if (taken.ok()) {
      const double rejected = static_cast<double>(
          std::clamp<std::int64_t>(taken->rejected_spans, 0, std::ssize(batch)));
      sent_.Increment(static_cast<double>(batch.size()) - rejected);
      if (rejected > 0) refused_.Increment(rejected);
      return;
    }
    if (!absl::IsUnavailable(taken.status())) {
      refused_.Increment(static_cast<double>(batch.size()));
      return;
    }
    std::unique_lock lock(mutex_);
    // The process ends: once more at most.
    const bool last = stopping_;
    if (!last) {
      changed_.wait_for(lock, absl::ToChronoNanoseconds(pause), [this] { return stopping_; });
    }
    if (last || IsOver()) {
      lost_.Increment(static_cast<double>(batch.size()));
      return;
    }
    pause = std::min(2 * pause, options_.longest_pause);
  }
}

absl::StatusOr<PartialSuccess> Exporter::Post(const std::string& body) {
  http_client::HttpRequest request{.url = url_,
                                   .headers = options_.headers,
                                   .json_body = body,
                                   .trusted = true,  // the operator named it
                                   .deadline = absl::Now() + options_.send_timeout,
                                   .max_bytes = kMaxAnswerBytes};
  const absl::StatusOr<http_client::HttpResponse> response = Perform(std::move(request));
  if (!response.ok()) {
    return absl::UnavailableError(
        absl::StrCat("it cannot be reached: ", response.status().message()));
  }
  if (response->status / 100 == 2) return ReadPartialSuccess(response->body);
  const std::string said =
      absl::StrCat("it answered HTTP ", response->status, ": ",
                   text::ToUtf8(text::Utf8Prefix(response->body, kMaxSaidBytes)));
  if (IsPassing(response->status)) return absl::UnavailableError(said);
  return absl::InvalidArgumentError(said);
}

absl::StatusOr<http_client::HttpResponse> Exporter::Perform(http_client::HttpRequest request) {
  {
    const std::lock_guard lock(mutex_);
    answer_.reset();
  }
  loop_.Post([this, request = std::move(request)]() mutable {
    boost::asio::co_spawn(
        loop_.context(), loop_.Perform(std::move(request)),
        [this](const std::exception_ptr& error, absl::StatusOr<http_client::HttpResponse> result) {
          if (error) std::rethrow_exception(error);  // a bug
          const std::lock_guard lock(mutex_);
          answer_ = std::move(result);
          changed_.notify_all();
        });
  });
  std::unique_lock lock(mutex_);
  while (!answer_ && !IsOver()) {
    if (stopping_) {
      changed_.wait_until(lock, absl::ToChronoTime(give_up_));
    } else {
      changed_.wait(lock);
    }
  }
  // What comes after all goes with the loop.
  if (!answer_) return absl::CancelledError("the process ends");
  return *std::move(answer_);
}

void Exporter::Note(const absl::Status& status) {
  const std::string endpoint = http_client::Origin(url_);
  if (status.ok()) {
    if (std::exchange(failing_, false)) {
      serving::LogLine("traces.sent_again").Str("endpoint", endpoint);
    }
    return;
  }
  if (std::exchange(failing_, true)) return;
  serving::LogLine("traces.failed", serving::LogLevel::kWarning)
      .Str("endpoint", endpoint)
      .Status(status);
}

}  // namespace otlp
