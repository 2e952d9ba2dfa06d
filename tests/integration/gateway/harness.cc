#include "tests/integration/gateway/harness.h"

#include <absl/strings/escaping.h>
#include <gtest/gtest.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <fstream>
#include <opencv2/imgcodecs.hpp>

#include "backends/grpc_clients.h"
#include "gateway/endpoints/access_log.h"

namespace gateway::testing {

namespace json = boost::json;
namespace beast = boost::beast;

std::string Reply::Header(const std::string& name) const {
  for (const auto& [key, value] : headers) {
    if (beast::iequals(key, name)) return value;
  }
  return "";
}

json::value Reply::json() const {
  boost::system::error_code error;
  json::value value = json::parse(body, error);
  EXPECT_FALSE(error) << "not JSON: " << body;
  return value;
}

// For tests/e2e/test_label_configs.py, which has Label Studio's validator.
static void KeepPredictions(const json::value& request, const std::string& answer) {
  const char* const file = std::getenv("DUET_KEEP_PREDICTIONS");
  if (file == nullptr) return;
  std::ofstream(file, std::ios::app)
      << "{\"request\":" << request << ",\"answer\":" << answer << "}\n";
}

Harness::Harness(HarnessOptions options) {
  fetcher_ = *image_fetch::ImageFetcher::Create({.allowed_private = options.allowed_private});
  options.gateway.address_policy =
      *http_client::AddressPolicy::Make(options.allowed_private, /*allow_all_private=*/false);
  auto profiles = prelabel::Profiles::Create(
      options.detector, options.segmenter, options.profiles,
      {.detector = [&](const std::string& targets)
           -> absl::StatusOr<std::shared_ptr<backends::DetectorClient>> {
         auto client = backends::MakeGrpcDetector(io_.get_executor(), targets);
         if (!client.ok()) return client.status();
         return backends::Counted(*std::move(client), options.gateway.detector_calls);
       },
       .segmenter = [&](const std::string& targets)
           -> absl::StatusOr<std::shared_ptr<backends::SegmenterClient>> {
         auto client = backends::MakeGrpcSegmenter(io_.get_executor(), targets);
         if (!client.ok()) return client.status();
         return backends::Counted(*std::move(client), options.gateway.segmenter_calls);
       }},
      options.settings);
  if (!profiles.ok()) throw std::runtime_error(profiles.status().ToString());
  profiles_ = std::make_unique<prelabel::Profiles>(*std::move(profiles));
  if (!options.settings_store.empty()) {
    redis_ = std::make_unique<serving::RedisClient>(
        serving::ParseRedisUrl(options.settings_store).value(),
        serving::RedisClient::Options{.timeout = options.settings_timeout,
                                      .last_retry = absl::Milliseconds(200)},
        metrics_);
  }
  if (!options.trainer.empty()) trainer_ = *backends::MakeGrpcTrainer(options.trainer);
  app_ = std::make_unique<gateway::endpoints::Application>(options.gateway, *profiles_, *fetcher_,
                                                           compute_, io_.get_executor(), metrics_,
                                                           redis_.get(), trainer_.get());
  gateway::endpoints::AddRoutes(*app_, router_);
  http::ServerOptions http;
  http.request_memory_bytes = options.request_memory_bytes;
  gateway::endpoints::AddAccessLog(metrics_, http, &app_->recent);
  server_ = *http::Server::Start(io_, router_, http);
  for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
}

Harness::~Harness() {
  app_->StopBackground();
  server_->Drain(std::chrono::seconds(5));
  io_.stop();
  for (std::thread& thread : threads_) thread.join();
  compute_.stop();
  compute_.join();
}

void Harness::AwaitModels() {
  const prelabel::Profile& profile = profiles_->default_profile();
  while (!prelabel::Serving(profile)) std::this_thread::yield();
}

Reply Harness::Send(const std::string& method, const std::string& path, const std::string& body,
                    const std::vector<std::pair<std::string, std::string>>& headers) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::socket socket(io);
  socket.connect({boost::asio::ip::make_address("127.0.0.1"), port()});
  beast::http::request<beast::http::string_body> request;
  request.version(11);
  request.method_string(method);
  request.target(path);
  request.set("Host", "localhost");
  if (method == "POST") request.set("Content-Type", "application/json");
  for (const auto& [name, value] : headers) request.set(name, value);
  request.body() = body;
  request.prepare_payload();
  beast::http::write(socket, request);
  beast::flat_buffer buffer;
  beast::http::response_parser<beast::http::string_body> parser;
  parser.body_limit(boost::none);
  beast::http::read(socket, buffer, parser);
  Reply reply{.status = static_cast<int>(parser.get().result_int()), .body = parser.get().body()};
  for (const auto& field : parser.get()) {
    reply.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  }
  return reply;
}

Reply Harness::Post(const std::string& path, const json::value& body) {
  Reply reply = Send("POST", path, json::serialize(body), {{"Content-Type", "application/json"}});
  if (path.ends_with("/predict") && reply.status == 200) KeepPredictions(body, reply.body);
  return reply;
}

std::string PngDataUri(int width, int height, int shade) {
  cv::Mat image(height, width, CV_8UC1, cv::Scalar(shade));
  std::vector<unsigned char> bytes;
  cv::imencode(".png", image, bytes);
  return "data:image/png;base64," + absl::Base64Escape(absl::string_view(
                                        reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

std::string DecodedDataUri(const std::string& uri) {
  std::string bytes;
  EXPECT_TRUE(absl::Base64Unescape(uri.substr(uri.find(',') + 1), &bytes));
  return bytes;
}

json::value PredictBody(const std::string& label_config, const std::vector<std::string>& image_uris,
                        const json::value& context) {
  json::array tasks;
  for (std::size_t i = 0; i < image_uris.size(); ++i) {
    tasks.push_back({{"id", i + 1}, {"data", {{"image", image_uris[i]}}}});
  }
  return {{"tasks", std::move(tasks)},
          {"project", "1.1795395253"},
          {"label_config", label_config},
          {"params", {{"login", nullptr}, {"password", nullptr}, {"context", context}}}};
}

}  // namespace gateway::testing
