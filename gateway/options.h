// The gateway's command line, and what follows from it.
#ifndef DUET_GATEWAY_OPTIONS_H_
#define DUET_GATEWAY_OPTIONS_H_

#include <absl/status/statusor.h>

#include <boost/asio/ssl/context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backends/grpc_clients.h"
#include "backends/tls_options.h"
#include "gateway/endpoints/application.h"
#include "gateway/http/server.h"
#include "image_fetch/image_fetcher.h"
#include "image_fetch/source_options.h"
#include "label_studio_api/site_options.h"
#include "otlp/options.h"
#include "prelabel/settings.h"
#include "serving/flags.h"
#include "serving/process.h"

namespace gateway {

struct Options {
  serving::ProcessOptions process;
  otlp::Options otlp;
  http::ServerOptions http;
  endpoints::ApplicationOptions app;
  int port = 8003;
  int io_threads = 0;  // 0: what Check chooses
  int compute_threads = 2;
  int max_body_mb = 64;
  int request_memory_mb = 256;
  int max_answer_mb = 128;
  std::vector<std::string> allowed_hosts;
  int max_message_mb = 64;
  int predict_deadline_s = 90;
  double score_threshold = 0.5;
  prelabel::Background background = prelabel::Background::kNone;
  std::string detector = "127.0.0.1:50051";
  std::string segmenter = "127.0.0.1:50052";
  std::string profiles;
  std::string settings_store;
  std::string trainer;
  int train_interval_s = 60;
  label_studio_api::SiteOptions label_studio;
  std::string basic_auth_password;
  std::string basic_auth_password_file;
  std::string tls_certificate;
  std::string tls_key;
  backends::TlsOptions backend_tls;
  image_fetch::SourceOptions images;
  int image_cache_mb = 256;
  int max_image_megapixels = 100;
};

void AddFlags(Options* options, serving::FlagTable* flags);

// Carries parsed values over into the parts, and reads the files of secrets. InvalidArgument names
// the flag that lacks its partner or has an unusable value; never a secret.
absl::Status Check(Options& options);

// Logs what of trainings is less safe or less complete than an operator may think.
void WarnOfTrainings(const Options& options);

// Lowers max_connections to what file descriptors allow beside images, services and files; logs it.
void FitConnections(int descriptor_limit, http::ServerOptions* http);

// The context of the next HTTPS connection, from what the files hold then (serving/tls_files.h);
// null without --tls_certificate. InvalidArgument names the file that can't be used.
absl::StatusOr<std::function<std::shared_ptr<boost::asio::ssl::context>()>> LoadTls(
    const Options& options);

// How to reach the services. InvalidArgument names the file that can't be used.
absl::StatusOr<backends::GrpcOptions> LoadGrpcOptions(const Options& options);

// REQUIRES: options.app.network is the one that options.images make.
image_fetch::ImageFetcher::Options FetcherOptions(const Options& options);

}  // namespace gateway

#endif  // DUET_GATEWAY_OPTIONS_H_
