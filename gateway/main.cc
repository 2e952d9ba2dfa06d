// duet-gateway: flags → clients, fetcher, routes → serve.
#include <absl/strings/str_cat.h>
#include <malloc.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backends/grpc_clients.h"
#include "backends/trainer_client.h"
#include "files/text_file.h"
#include "gateway/endpoints/access_log.h"
#include "gateway/endpoints/routes.h"
#include "gateway/http/server.h"
#include "gateway/options.h"
#include "image_fetch/image_fetcher.h"
#include "otlp/options.h"
#include "serving/descriptors.h"
#include "serving/host_port.h"
#include "serving/log.h"
#include "serving/process.h"
#include "serving/redis/redis_client.h"

namespace {

using gateway::Options;

constexpr std::size_t kMaxProfilesBytes = std::size_t{16} << 20;

// The threads of an io_context; stopped and joined before anything that its coroutines use goes.
class IoThreads {
 public:
  IoThreads(boost::asio::io_context& io, int count) : io_(io), work_(io.get_executor()) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([&io] { io.run(); });
  }
  ~IoThreads() {
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  boost::asio::io_context& io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::vector<std::thread> threads_;
};

// Ends a pool's work before what it uses goes: what was posted and hasn't begun never will.
class PoolGuard {
 public:
  explicit PoolGuard(boost::asio::thread_pool& pool) : pool_(pool) {}
  ~PoolGuard() {
    pool_.stop();
    pool_.join();
  }

 private:
  boost::asio::thread_pool& pool_;
};

// The HTTP server as the process sees it.
class HttpListener final : public serving::Listener {
 public:
  HttpListener(gateway::http::Server& server, gateway::endpoints::Application& app,
               const Options& options)
      : server_(server), app_(app), options_(options) {}

  void SetReady(bool ready) override {
    app_.ready = ready;
    if (!ready) server_.StopKeepingConnections();
  }
  void Drain(absl::Time deadline) override {
    app_.StopBackground();
    server_.Drain(
        absl::ToChronoMilliseconds(std::max(absl::ZeroDuration(), deadline - absl::Now())));
    app_.jobs.Drain(deadline);
  }
  serving::LogFields Describe() const override {
    serving::LogFields fields;
    fields.Str("bind", options_.http.bind)
        .Int("port", server_.port())
        .Str("detector", options_.detector)
        .Str("segmenter", options_.segmenter);
    return fields;
  }

 private:
  gateway::http::Server& server_;
  gateway::endpoints::Application& app_;
  const Options& options_;
};

absl::StatusOr<prelabel::Profiles> LoadProfiles(const Options& options,
                                                const backends::GrpcOptions& grpc,
                                                boost::asio::io_context& io) {
  std::string text;
  if (!options.profiles.empty()) {
    absl::StatusOr<std::string> read = files::ReadText(options.profiles, kMaxProfilesBytes);
    if (!read.ok()) {
      return absl::Status(read.status().code(),
                          absl::StrCat("--profiles: ", read.status().message()));
    }
    text = *std::move(read);
  }
  auto profiles = prelabel::Profiles::Create(
      options.detector, options.segmenter, text,
      {.detector = [&](const std::string& targets)
           -> absl::StatusOr<std::shared_ptr<backends::DetectorClient>> {
         auto client = backends::MakeGrpcDetector(io.get_executor(), targets, grpc);
         if (!client.ok()) return client.status();
         return backends::Counted(*std::move(client), options.app.detector_calls);
       },
       .segmenter = [&](const std::string& targets)
           -> absl::StatusOr<std::shared_ptr<backends::SegmenterClient>> {
         auto client = backends::MakeGrpcSegmenter(io.get_executor(), targets, grpc);
         if (!client.ok()) return client.status();
         return backends::Counted(*std::move(client), options.app.segmenter_calls);
       }},
      {.score_threshold = options.score_threshold, .background = options.background});
  if (!profiles.ok() && !options.profiles.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.profiles, ": ", std::string(profiles.status().message())));
  }
  return profiles;
}

absl::Status Run(Options& options, serving::Process& process) {
  if (absl::Status status = gateway::Check(options); !status.ok()) return status;
  auto tls = gateway::LoadTls(options);
  if (!tls.ok()) return tls.status();
  const auto grpc = gateway::LoadGrpcOptions(options);
  if (!grpc.ok()) return grpc.status();
  // From here on, what is declared later is destroyed earlier: threads first, then what their
  // coroutines use.
  const auto tracing = otlp::StartTracing(options.otlp, "duet-gateway", process.metrics());
  if (!tracing.ok()) return tracing.status();
  boost::asio::io_context io(options.io_threads);
  std::optional<serving::RedisClient> redis;
  if (!options.settings_store.empty()) {
    const auto url = serving::ParseRedisUrl(options.settings_store);
    if (!url.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--settings_store: ", url.status().message()));
    }
    // Somebody waits for each answer, and values are small.
    redis.emplace(*url, serving::RedisClient::Options{.timeout = absl::Milliseconds(250)},
                  process.metrics());
  }
  auto network = image_fetch::MakeNetwork(options.images);
  if (!network.ok()) return network.status();
  options.app.network = *std::move(network);
  if (options.images.image_proxy.empty() &&
      (std::getenv("http_proxy") != nullptr || std::getenv("https_proxy") != nullptr)) {
    serving::LogLine("proxy.unused")
        .Str("hint", "images are fetched directly; --image_proxy=environment changes that");
  }
  auto fetcher = image_fetch::ImageFetcher::Create(gateway::FetcherOptions(options));
  if (!fetcher.ok()) return fetcher.status();
  auto profiles = LoadProfiles(options, *grpc, io);
  if (!profiles.ok()) return profiles.status();
  std::unique_ptr<backends::TrainerClient> trainer;
  if (!options.trainer.empty()) {
    auto made = backends::MakeGrpcTrainer(options.trainer, *grpc);
    if (!made.ok()) return made.status();
    trainer = *std::move(made);
  }
  boost::asio::thread_pool compute(static_cast<std::size_t>(options.compute_threads));
  gateway::endpoints::Application app(options.app, *profiles, **fetcher, compute, io.get_executor(),
                                      process.metrics(), redis ? &*redis : nullptr, trainer.get());
  const PoolGuard computing(compute);
  gateway::http::Router router;
  gateway::endpoints::AddRoutes(app, router);
  options.http.tls = *std::move(tls);
  gateway::endpoints::AddAccessLog(process.metrics(), options.http, &app.recent);
  gateway::FitConnections(serving::DescriptorLimit(), &options.http);
  auto server = gateway::http::Server::Start(io, router, options.http);
  if (!server.ok()) return server.status();
  serving::WarnIfOpenPlaintext(
      options.http.bind, !options.tls_certificate.empty(),
      "--tls_certificate and --tls_key, or a proxy in front that has them");
  gateway::WarnOfTrainings(options);
  const IoThreads threads(io, options.io_threads);
  HttpListener listener(**server, app, options);
  return process.Serve(listener);
}

}  // namespace

int main(int argc, char** argv) {
  // Bodies and images go back to the system when they are freed. Otherwise the first large ones
  // teach malloc to keep the next ones in its heaps, which then stay at a multiple of what
  // --request_memory_mb allows at once.
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  Options options;
  serving::FlagTable flags(
      "duet-gateway",
      absl::StrCat(
          "Answers Label Studio as its ML backend, with a detector and a segmenter behind it. ",
          serving::kExitCodes,
          "\n\nExample: duet-gateway --detector=localhost:50051 --segmenter=localhost:50052"));
  gateway::AddFlags(&options, &flags);
  return serving::RunProcess(
      flags, argc, argv, options.process,
      [&options](serving::Process& process) { return Run(options, process); });
}
