#include "otlp/exporter.h"

#include <absl/time/clock.h>
#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/integration/gateway/tiny_http_server.h"
#include "tests/testing/log_capture.h"
#include "tracing/span_data.h"

namespace otlp {
namespace {

namespace json = boost::json;
using duet_testing::LogCapture;
using duet_testing::TinyHttpServer;
using duet_testing::TinyRequest;
using duet_testing::TinyResponse;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using tracing::SpanData;

// Collects the requests of exporters, and answers what it was told to.
class FakeCollector {
 public:
  using Answer = std::function<TinyResponse(int request)>;  // counted from 1
  explicit FakeCollector(Answer answer = [](int) { return TinyResponse{.body = "{}"}; })
      : server_([this, answer = std::move(answer)](const TinyRequest& request) {
          int number = 0;
          {
            const std::lock_guard lock(mutex_);
            requests_.push_back(request);
            number = static_cast<int>(requests_.size());
          }
          changed_.notify_all();
          return answer(number);
        }) {}

  std::string url() const { return server_.url(); }
  std::vector<TinyRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  void Await(std::size_t requests) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return requests_.size() >= requests; });
  }
  // Of all requests.
  std::vector<std::string> span_names() const {
    std::vector<std::string> names;
    for (const TinyRequest& request : requests()) {
      const json::value body = json::parse(request.body);
      for (const json::value& span :
           body.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").as_array()) {
        names.emplace_back(span.at("name").as_string());
      }
    }
    return names;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<TinyRequest> requests_;  // guarded by mutex_
  TinyHttpServer server_;
};

SpanData Named(std::string name) {
  return {.ids = {.trace_high = 1, .trace_low = 2, .span = 3, .flags = 1},
          .name = std::move(name),
          .begin = absl::Now(),
          .end = absl::Now()};
}

class ExporterTest : public testing::Test {
 protected:
  ExporterOptions OptionsFor(const std::string& endpoint) {
    return {.endpoint = endpoint,
            .resource = {{"service.name", std::string("duet-test")}},
            .batch_time = absl::ZeroDuration(),
            .first_pause = absl::Milliseconds(1),
            .longest_pause = absl::Milliseconds(1)};
  }
  double Count(std::string_view outcome) { return metrics_.Get(kTraceSpans, {outcome}).Value(); }
  void AwaitCount(std::string_view outcome, double count) {
    while (Count(outcome) < count) absl::SleepFor(absl::Milliseconds(1));
  }

  LogCapture log_;
  serving::Metrics metrics_;
};

TEST_F(ExporterTest, ASpanArrivesAsTheSpecificationWantsIt) {
  const FakeCollector collector;
  ExporterOptions options = OptionsFor(collector.url() + "/");
  options.headers = {"api-key: secret"};
  Exporter exporter(std::move(options), metrics_);

  exporter.Take(Named("hello"));
  AwaitCount("sent", 1);

  const auto requests = collector.requests();
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_EQ(requests[0].method, "POST");
  EXPECT_EQ(requests[0].target, "/v1/traces");
  EXPECT_EQ(requests[0].headers.at("content-type"), "application/json");
  EXPECT_EQ(requests[0].headers.at("api-key"), "secret");
  EXPECT_THAT(collector.span_names(), testing::ElementsAre("hello"));
  EXPECT_THAT(requests[0].body, HasSubstr(R"({"stringValue":"duet-test"})"));
}

TEST_F(ExporterTest, WhatWaitsWhenTheProcessEndsIsSent) {
  const FakeCollector collector;
  ExporterOptions options = OptionsFor(collector.url());
  options.batch_time = absl::Hours(1);  // nobody waits for it
  options.batch_spans = 10;
  {
    Exporter exporter(std::move(options), metrics_);
    for (int i = 0; i < 25; ++i) exporter.Take(Named("x"));
  }
  EXPECT_THAT(collector.span_names(), SizeIs(25));
  EXPECT_THAT(collector.requests(), SizeIs(3)) << "in batches";
  EXPECT_EQ(Count("sent"), 25);
}

TEST_F(ExporterTest, ACollectorThatIsAwayIsLoggedOnceAndTriedAgain) {
  const FakeCollector collector([](int request) {
    return request < 4 ? TinyResponse{.status = 503, .body = "starting"}
                       : TinyResponse{.body = "{}"};
  });
  Exporter exporter(OptionsFor(collector.url()), metrics_);

  exporter.Take(Named("patient"));
  AwaitCount("sent", 1);

  EXPECT_EQ(Count("sent"), 1);
  EXPECT_EQ(Count("refused"), 0);
  ASSERT_THAT(log_.lines("traces.failed"), SizeIs(1));
  EXPECT_THAT(log_.lines("traces.failed")[0], HasSubstr("HTTP 503: starting"));
  EXPECT_THAT(log_.lines("traces.sent_again"), SizeIs(1));
}

TEST_F(ExporterTest, NobodyListensAndStillNothingWaits) {
  std::string url;
  { url = FakeCollector().url(); }  // its port is closed again
  ExporterOptions options = OptionsFor(url);
  options.max_queue_bytes = 10 * Named("x").bytes();
  options.batch_spans = 1;
  {
    Exporter exporter(std::move(options), metrics_);
    for (int i = 0; i < 1000; ++i) exporter.Take(Named("x"));
    // Ten wait, and those that the thread has at hand: one at a time.
    EXPECT_GE(Count("full"), 900);
    EXPECT_LT(Count("full"), 1000);
  }
  EXPECT_EQ(Count("full") + Count("lost"), 1000) << "each is counted";
  EXPECT_EQ(Count("sent"), 0);
  EXPECT_THAT(log_.lines("traces.failed"), SizeIs(1));
}

TEST_F(ExporterTest, WhatTheCollectorRefusesIsCountedAndNotRepeated) {
  const FakeCollector collector([](int request) {
    if (request == 1) return TinyResponse{.status = 400, .body = "not mine"};
    if (request == 2) return TinyResponse{.body = "{}"};
    return TinyResponse{.body =
                            R"({"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}})"};
  });
  Exporter exporter(OptionsFor(collector.url()), metrics_);
  exporter.Take(Named("bad"));
  AwaitCount("refused", 1);
  exporter.Take(Named("good"));
  AwaitCount("sent", 1);
  exporter.Take(Named("rejected"));
  AwaitCount("refused", 2);
  EXPECT_THAT(collector.requests(), SizeIs(3));
  ASSERT_THAT(log_.lines("traces.failed"), SizeIs(2));
  EXPECT_THAT(log_.lines("traces.failed")[0], HasSubstr("HTTP 400: not mine"));
  EXPECT_THAT(log_.lines("traces.failed")[1], HasSubstr("HTTP 200 and refused 1 spans: too old"));
}

TEST_F(ExporterTest, ACollectorThatTakesAllAndWarnsIsHeard) {
  const FakeCollector collector([](int) {
    return TinyResponse{.body = R"({"partialSuccess":{"errorMessage":"use another path"}})"};
  });
  Exporter exporter(OptionsFor(collector.url()), metrics_);
  exporter.Take(Named("x"));
  AwaitCount("sent", 1);
  ASSERT_THAT(log_.lines("traces.failed"), SizeIs(1));
  EXPECT_THAT(log_.lines("traces.failed")[0], HasSubstr("refused 0 spans: use another path"));
}

TEST_F(ExporterTest, ACollectorThatHangsHoldsUpNeitherRequestsNorTheEnd) {
  std::promise<void> let_go;
  const std::shared_future<void> gone = let_go.get_future().share();
  const FakeCollector collector([gone](int) {
    gone.wait();
    return TinyResponse{.body = "{}"};
  });
  ExporterOptions options = OptionsFor(collector.url());
  options.send_timeout = absl::Hours(1);
  options.last_words = absl::Milliseconds(50);
  {
    Exporter exporter(std::move(options), metrics_);
    exporter.Take(Named("first"));
    collector.Await(1);
    exporter.Take(Named("second"));  // returns
  }                                  // and so does this
  EXPECT_EQ(Count("lost"), 2);
  let_go.set_value();
}

TEST_F(ExporterTest, SpansOfManyThreadsAllArrive) {
  const FakeCollector collector;
  {
    Exporter exporter(OptionsFor(collector.url()), metrics_);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 250; ++i) exporter.Take(Named("x"));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_THAT(collector.span_names(), SizeIs(1000));
  EXPECT_EQ(Count("sent"), 1000);
}

}  // namespace
}  // namespace otlp
