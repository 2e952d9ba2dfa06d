// Exporter sends finished spans to a collector, by OTLP over HTTP with JSON
// (https://opentelemetry.io/docs/specs/otlp/).
//
// Requests never wait for it. Spans wait in a queue of bounded size, and one thread sends them in
// batches. While the collector is away, the batch at hand is tried again and again, and what no
// longer fits into the queue is dropped. Dropped spans are counted (kTraceSpans); that the
// collector fails is logged once, until it works again.
#ifndef DUET_OTLP_EXPORTER_H_
#define DUET_OTLP_EXPORTER_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "http_client/address_policy.h"
#include "http_client/http_message.h"
#include "http_client/transfer.h"
#include "otlp/trace_json.h"
#include "serving/metrics.h"
#include "tracing/span_data.h"

namespace otlp {

inline constexpr serving::CounterSpec kTraceSpans{
    "duet_trace_spans_total",
    "Recorded spans; outcome: sent, refused (by the collector), full (dropped while the collector "
    "was away or slow), lost (when the process ended).",
    "outcome"};

struct ExporterOptions {
  std::string endpoint;              // "http://collector:4318"; spans go to /v1/traces below it
  std::vector<std::string> headers;  // "Name: value", sent along
  Attributes resource;
  double ratio = 1;                              // Tracer's
  std::size_t max_queue_bytes = 8 << 20;         // of spans that wait
  std::size_t batch_spans = 512;                 // at most, in one request
  absl::Duration batch_time = absl::Seconds(1);  // that the first span of a batch waits for others
  absl::Duration send_timeout = absl::Seconds(10);
  absl::Duration first_pause = absl::Seconds(1);  // after a failure; doubles with each further one
  absl::Duration longest_pause = absl::Seconds(30);
  absl::Duration last_words = absl::Seconds(2);  // for what is left when the process ends
};

class Exporter final : public tracing::Tracer {
 public:
  // `metrics` must outlive the exporter.
  Exporter(ExporterOptions options, serving::Metrics& metrics);
  // Sends what is left, as long as `last_words` allow.
  ~Exporter() override;

  void Take(tracing::SpanData span) override;

 private:
  using Batch = std::vector<tracing::SpanData>;

  void Run();
  // Blocks until there is one; empty when the process ends and nothing is left.
  Batch NextBatch();
  // Until the collector has answered, or the process ends.
  void Send(const Batch& batch);
  // One attempt.
  absl::StatusOr<PartialSuccess> Post(const std::string& body);
  absl::StatusOr<http_client::HttpResponse> Perform(http_client::HttpRequest request);
  // Logs the first failure, and that it is over.
  void Note(const absl::Status& status);
  bool IsOver() const;  // REQUIRES: mutex_ is held

  const ExporterOptions options_;
  const std::string url_;
  // Known from the beginning, since a request may end at any time.
  prometheus::Counter &sent_, &refused_, &full_, &lost_;
  bool failing_ = false;  // of the thread

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::deque<tracing::SpanData> queue_;
  std::size_t queued_bytes_ = 0;
  bool stopping_ = false;
  absl::Time give_up_ = absl::InfiniteFuture();
  std::optional<absl::StatusOr<http_client::HttpResponse>> answer_;  // to the attempt at hand

  const http_client::AddressPolicy policy_;
  http_client::TransferLoop loop_;  // uses what is above
  std::thread thread_;              // last: uses all of it
};

}  // namespace otlp

#endif  // DUET_OTLP_EXPORTER_H_
