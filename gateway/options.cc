#include "gateway/options.h"

#include <absl/strings/str_join.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <utility>

#include "serving/cpu.h"
#include "serving/host_port.h"
#include "serving/log.h"
#include "serving/tls_files.h"
#include "text/str_cat.h"

namespace gateway {
namespace {

// Makes a context of the files, and another one when they have changed. Thread-safe.
class HttpsContext {
 public:
  explicit HttpsContext(std::shared_ptr<serving::TlsFiles> files) : files_(std::move(files)) {}

  std::shared_ptr<boost::asio::ssl::context> Current() {
    namespace ssl = boost::asio::ssl;
    auto identity = files_->Current();
    const std::lock_guard lock(mutex_);
    if (identity != identity_) {
      auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
      context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                           ssl::context::no_sslv3 | ssl::context::no_tlsv1 |
                           ssl::context::no_tlsv1_1);
      context->use_certificate_chain(boost::asio::buffer(identity->certificate));
      context->use_private_key(boost::asio::buffer(identity->key), ssl::context::pem);
      context_ = std::move(context);
      identity_ = std::move(identity);
    }
    return context_;
  }

 private:
  const std::shared_ptr<serving::TlsFiles> files_;
  std::mutex mutex_;
  std::shared_ptr<const serving::TlsIdentity> identity_;  // guarded by mutex_; what context_ is of
  std::shared_ptr<boost::asio::ssl::context> context_;    // guarded by mutex_
};

}  // namespace

void AddFlags(Options* options, serving::FlagTable* flags) {
  using serving::InRange;
  endpoints::ApplicationOptions& app = options->app;
  flags->Add("bind", &options->http.bind, "The IP address to listen on; 0.0.0.0 for all.");
  flags->Add("port", &options->port, "The port to listen on; 0: any free one.", InRange(0, 65535));
  flags->Add("detector", &options->detector,
             "host:port of the detector, several separated by commas; a name may stand for several "
             "replicas. Empty: none.");
  flags->Add("segmenter", &options->segmenter, "The same for the segmenter.");
  flags->Add("profiles", &options->profiles,
             "A JSON file of profiles, each reached at http://HOST:PORT/p/NAME.");
  flags->Add("score_threshold", &options->score_threshold,
             "Detections that score more than this become predictions. A profile or extra_params "
             "may say otherwise.",
             InRange(0.0, 1.0));
  flags->Add("trainer", &options->trainer,
             "host:port of duet-trainer, which fine-tunes models on what is annotated in "
             "--label_studio_url; needs that and --model_root. Empty: nothing is trained.");
  flags->Add("model_root", &app.training.model_root,
             "The folder where the trainer leaves new versions of models, and where this gateway "
             "says which of them serves; the services have the same flag.");
  flags->Add("train_every", &app.training.every,
             "Train a project by itself after so many new annotations. 0: only when it is asked.",
             InRange(0, 1 << 30));
  flags->Add("train_interval_s", &options->train_interval_s,
             "Between the beginnings of two trainings of a project, at least.",
             InRange(0, 7 * 86400));
  flags->Add(
      "settings_store", &options->settings_store,
      "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] where several gateways remember what "
      "/setup said of projects; a password is better given by the variable. Empty: each "
      "remembers its own.");
  flags->Add("label_studio_url", &options->label_studio.url,
             "Where images of Label Studio are fetched, at whatever address. Empty: where /setup "
             "says it is, if that is a public address or one of --allowed_private.");
  label_studio_api::AddFlags(&options->label_studio, flags);
  flags->Add("basic_auth_user", &app.basic_auth_user,
             "Ask for basic authentication with this user. Empty: don't.");
  flags->Add("basic_auth_password", &options->basic_auth_password,
             "The user's password; better given by the file or the variable.");
  flags->Add("basic_auth_password_file", &options->basic_auth_password_file,
             "The file that holds the password; read again when it changes.");
  flags->Add("tls_certificate", &options->tls_certificate,
             "Serve HTTPS with this certificate chain (PEM); read again when it changes. Empty: "
             "HTTP.");
  flags->Add("tls_key", &options->tls_key, "The certificate's private key (PEM).");
  backends::AddFlags(&options->backend_tls, flags);
  image_fetch::AddFlags(&options->images, flags);
  flags->Add("image_cache_mb", &options->image_cache_mb, "Memory for fetched images.",
             InRange(0, 1 << 20));
  flags->Add(
      "max_image_megapixels", &options->max_image_megapixels,
      "Largest image, millions of pixels; the detector and the segmenter have the same flag.",
      InRange(1, 2000));
  flags->Add("predict_deadline_s", &options->predict_deadline_s,
             "What a batch hasn't done by then is left for the next time; Label Studio gives up "
             "after 100 s.",
             InRange(1, 86400));
  flags->Add("background", &options->background,
             "push: what a batch hasn't done by its deadline is finished in the background and "
             "stored through Label Studio's API; needs --label_studio_api_key. none: left for the "
             "next time. A profile or extra_params may say otherwise.");
  flags->Add("background_concurrency", &app.background.concurrency,
             "Tasks of background jobs in work at once.", InRange(1, 1024));
  flags->Add("prefetch_tasks", &app.prefetch.tasks,
             "Tasks embedded ahead of the one that somebody labels with smart tools; needs "
             "--label_studio_api_key. 0: none.",
             InRange(0, 100));
  flags->Add("batch_concurrency", &app.batch_concurrency, "Tasks of one batch in work at once.",
             InRange(1, 1024));
  flags->Add("io_threads", &options->io_threads,
             "Threads for sockets; 0: one for every two CPUs, since the services and Label Studio "
             "want some, too.",
             InRange(0, 256));
  flags->Add("compute_threads", &options->compute_threads, "Threads for masks and large JSON.",
             InRange(1, 256));
  flags->Add("max_connections", &options->http.max_connections, "HTTP connections open at once.",
             InRange(1, 1 << 20));
  flags->Add("max_body_mb", &options->max_body_mb,
             "Largest HTTP request; most kinds may only be smaller.", InRange(1, 1024));
  flags->Add("request_memory_mb", &options->request_memory_mb,
             "Memory for the HTTP requests that are read and answered at once, and for what is "
             "parsed of them; beyond it: 503.",
             InRange(1, 1 << 20));
  flags->Add("max_answer_mb", &options->max_answer_mb,
             "Largest answer to a batch; the tasks beyond it are left for the next time.",
             InRange(1, 1024));
  flags->Add("allowed_hosts", &options->allowed_hosts,
             "Names by which browsers may address this server besides IP addresses and localhost. "
             "Empty: any, or none if it listens on loopback only. Programs may use any name.");
  flags->Add("ui", &app.ui, "Serve a page for people at /ui, to which / leads browsers, too.");
  flags->Add("max_message_mb", &options->max_message_mb, "Largest gRPC message, hence image.",
             InRange(2, 1024));
  otlp::AddFlags(&options->otlp, flags);
  serving::AddFlags(&options->process, flags);
}

absl::Status Check(Options& options) {
  options.app.training.interval = absl::Seconds(options.train_interval_s);
  auto site = label_studio_api::ReadOperatorSite(options.label_studio);
  if (!site.ok()) return site.status();
  options.app.label_studio = *std::move(site);
  if (!options.trainer.empty() &&
      (options.app.label_studio.url.empty() || options.app.training.model_root.empty())) {
    return absl::InvalidArgumentError(
        text::StrCat("--trainer is given without ", options.app.training.model_root.empty()
                                                        ? "--model_root, where its models lie"
                                                        : "--label_studio_url, whose projects "
                                                          "are trained"));
  }
  if (options.app.training.every > 0 && options.trainer.empty()) {
    return absl::InvalidArgumentError(
        "--train_every is given without --trainer, which would train");
  }
  options.http.port = static_cast<std::uint16_t>(options.port);
  options.http.max_body_bytes = static_cast<std::size_t>(options.max_body_mb) << 20;
  options.http.request_memory_bytes = static_cast<std::size_t>(options.request_memory_mb) << 20;
  if (options.request_memory_mb < options.max_body_mb) {
    return absl::InvalidArgumentError(
        text::StrCat("--request_memory_mb is ", options.request_memory_mb,
                     ", less than --max_body_mb, which is ", options.max_body_mb));
  }
  options.app.max_answer_bytes = static_cast<std::size_t>(options.max_answer_mb) << 20;
  options.app.own_names = http::OwnNamesOf(options.allowed_hosts, options.http.bind);
  if (options.app.own_names.names.size() != options.allowed_hosts.size()) {
    return absl::InvalidArgumentError(text::StrCat("--allowed_hosts is ",
                                                   absl::StrJoin(options.allowed_hosts, ","),
                                                   "; needed: host names, separated by commas"));
  }
  if (options.io_threads == 0) {
    options.io_threads = std::max(1, serving::ReadCpuBudget().threads() / 2);
  }
  options.app.predict_deadline = std::chrono::seconds(options.predict_deadline_s);
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError("--tls_certificate and --tls_key go together");
  }
  auto password = label_studio_api::ReadSecret("basic_auth_password", options.basic_auth_password,
                                               options.basic_auth_password_file);
  if (!password.ok()) return password.status();
  options.app.basic_auth_password = *std::move(password);
  if (options.app.basic_auth_user.empty() != (options.app.basic_auth_password == nullptr)) {
    return absl::InvalidArgumentError("--basic_auth_user and --basic_auth_password go together");
  }
  auto policy = image_fetch::MakePolicy(options.images);
  if (!policy.ok()) return policy.status();
  options.app.address_policy = *std::move(policy);
  if (options.app.training.every > 0 && options.app.label_studio.token == nullptr) {
    return absl::InvalidArgumentError(
        "--train_every is given without --label_studio_api_key, with which annotations are "
        "counted");
  }
  return absl::OkStatus();
}

void WarnOfTrainings(const Options& options) {
  if (options.trainer.empty()) return;
  if (options.app.label_studio.token == nullptr) {
    serving::LogLine("trainings.without_token", serving::LogLevel::kWarning)
        .Str("meaning",
             "after a training predictions aren't renewed, and which Label Studio a project is of "
             "is only known by name")
        .Str("remedy", "--label_studio_api_key_file");
  }
  const std::string& root = options.app.training.model_root;
  if (access(root.c_str(), W_OK | X_OK) != 0) {
    serving::LogLine("trainings.unwritable", serving::LogLevel::kWarning)
        .Str("model_root", root)
        .Str("error", std::strerror(errno))
        .Str("meaning", "a model that is better than the old one can't be let serve")
        .Str("remedy", "a folder that exists, and that this process may write to");
  }
  if (options.app.basic_auth_user.empty() && !serving::IsLoopback(options.http.bind)) {
    serving::LogLine("trainings.open", serving::LogLevel::kWarning)
        .Str("bind", options.http.bind)
        .Str("meaning",
             "whose connection comes from this machine or from Label Studio's may begin and end "
             "trainings and delete their data: also all who come through a proxy there that adds "
             "no X-Forwarded-For")
        .Str("remedy", "--basic_auth_user and --basic_auth_password_file");
  }
}

void FitConnections(int descriptor_limit, http::ServerOptions* http) {
  // Transfers of images, channels to services, Redis, libraries and files.
  constexpr int kOthers = 256;
  const int room = std::max(descriptor_limit / 2, descriptor_limit - kOthers);
  if (http->max_connections <= room) return;
  serving::LogLine("connections.limited", serving::LogLevel::kWarning)
      .Int("max_connections", http->max_connections)
      .Int("descriptors", descriptor_limit)
      .Int("connections", room)
      .Str("remedy", "Raise the process's limit of open files (ulimit -n).");
  http->max_connections = room;
}

absl::StatusOr<std::function<std::shared_ptr<boost::asio::ssl::context>()>> LoadTls(
    const Options& options) {
  if (options.tls_certificate.empty()) return nullptr;
  auto files =
      serving::TlsFiles::Open({.certificate = {"--tls_certificate", options.tls_certificate},
                               .key = {"--tls_key", options.tls_key},
                               .authorities = {}});
  if (!files.ok()) return files.status();
  return [source = std::make_shared<HttpsContext>(*std::move(files))] { return source->Current(); };
}

absl::StatusOr<backends::GrpcOptions> LoadGrpcOptions(const Options& options) {
  backends::GrpcOptions grpc{.max_message_bytes = options.max_message_mb << 20};
  if (absl::Status status = backends::LoadTls(options.backend_tls, &grpc); !status.ok()) {
    return status;
  }
  return grpc;
}

image_fetch::ImageFetcher::Options FetcherOptions(const Options& options) {
  auto fetcher = image_fetch::FetcherOptions(options.images, options.app.network);
  // Room for the rest of the message.
  fetcher.max_bytes = (static_cast<std::int64_t>(options.max_message_mb) << 20) - (1 << 20);
  fetcher.max_pixels = std::int64_t{options.max_image_megapixels} * 1'000'000;
  fetcher.cache_bytes = static_cast<std::int64_t>(options.image_cache_mb) << 20;
  return fetcher;
}

}  // namespace gateway
