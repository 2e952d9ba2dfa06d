// A whole gateway on a free port with fake services behind it, and a client that speaks HTTP to it.
#ifndef DUET_TESTS_INTEGRATION_GATEWAY_HARNESS_H_
#define DUET_TESTS_INTEGRATION_GATEWAY_HARNESS_H_

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/json/value.hpp>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gateway/endpoints/routes.h"
#include "gateway/http/server.h"
#include "image_fetch/image_fetcher.h"

namespace gateway::testing {

struct Reply {
  int status = 0;
  std::string body;
  std::string Header(const std::string& name) const;
  // REQUIRES: the body is JSON.
  boost::json::value json() const;
  // results[i] of a /predict.
  boost::json::value result(std::size_t i) const { return json().at("results").at(i); }
  std::vector<std::pair<std::string, std::string>> headers;
};

struct HarnessOptions {
  std::string detector;   // host:port
  std::string segmenter;  // host:port
  std::string profiles = "";
  prelabel::Settings settings = {};  // of the default profile
  gateway::endpoints::ApplicationOptions gateway = {};
  std::vector<std::string> allowed_private = {};
  std::string settings_store = "";  // redis://…
  absl::Duration settings_timeout = absl::Seconds(30);
  std::string trainer = "";  // host:port
  std::size_t request_memory_bytes = http::ServerOptions().request_memory_bytes;
};

class Harness {
 public:
  explicit Harness(HarnessOptions options);
  ~Harness();

  // Waits until the models of the default profile are known.
  void AwaitModels();
  // One request on a connection of its own; a POST says that it is JSON unless the headers say
  // otherwise.
  Reply Send(const std::string& method, const std::string& path, const std::string& body = "",
             const std::vector<std::pair<std::string, std::string>>& headers = {});
  Reply Get(const std::string& path) { return Send("GET", path); }
  Reply Post(const std::string& path, const boost::json::value& body);

  std::uint16_t port() const { return server_->port(); }
  gateway::endpoints::Application& app() { return *app_; }
  const http::Router& router() const { return router_; }
  serving::Metrics& metrics() { return metrics_; }
  serving::RedisClient& redis() { return *redis_; }  // REQUIRES: there is a settings_store

 private:
  serving::Metrics metrics_;
  boost::asio::io_context io_;
  std::unique_ptr<serving::RedisClient> redis_;
  std::unique_ptr<image_fetch::ImageFetcher> fetcher_;
  std::unique_ptr<prelabel::Profiles> profiles_;
  std::unique_ptr<backends::TrainerClient> trainer_;
  boost::asio::thread_pool compute_{2};
  std::unique_ptr<gateway::endpoints::Application> app_;
  http::Router router_;
  std::unique_ptr<http::Server> server_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
  std::vector<std::thread> threads_;
};

// A grey PNG of this size as a data URI; the last byte of its pixels is `shade`, so that images
// can differ.
std::string PngDataUri(int width, int height, int shade = 128);

// The bytes behind a base64 data URI.
std::string DecodedDataUri(const std::string& uri);

// {"tasks": [...], "label_config": ..., ...} with one task a URI, ids from 1.
boost::json::value PredictBody(const std::string& label_config,
                               const std::vector<std::string>& image_uris,
                               const boost::json::value& context = nullptr);

}  // namespace gateway::testing

#endif  // DUET_TESTS_INTEGRATION_GATEWAY_HARNESS_H_
