#include "image_fetch/source_options.h"

#include <utility>

#include "http_client/s3_access.h"
#include "text/str_cat.h"

namespace image_fetch {

void AddFlags(SourceOptions* options, serving::FlagTable* flags) {
  flags->Add("local_files_root", &options->local_files_root,
             "Read /data/local-files/ images below this folder. Empty: through Label Studio.");
  flags->Add("allowed_private", &options->allowed_private,
             "Hosts or networks (10.0.0.0/8) that images may come from although their addresses "
             "are private.");
  flags->Add("allow_all_private", &options->allow_all_private,
             "Fetch images from private addresses, too.");
  flags->Add(
      "ca_certificates", &options->ca_certificates,
      "PEM file of certificate authorities that are trusted besides the system's when images "
      "and Label Studio are asked by https. The system's are SSL_CERT_FILE's and "
      "SSL_CERT_DIR's, if these are set.");
  flags->Add(
      "image_proxy", &options->image_proxy,
      "Fetch images and ask Label Studio through this HTTP proxy (http://HOST:PORT), but for "
      "what no_proxy names; environment: through http_proxy and https_proxy. The proxy then "
      "decides which private addresses a name may lead to. Empty: directly.");
}

absl::StatusOr<std::shared_ptr<http_client::Network>> MakeNetwork(const SourceOptions& options) {
  return http_client::Network::Make(
      {.ca_certificates = options.ca_certificates, .proxy = options.image_proxy});
}

absl::StatusOr<http_client::AddressPolicy> MakePolicy(const SourceOptions& options) {
  auto policy =
      http_client::AddressPolicy::Make(options.allowed_private, options.allow_all_private);
  if (policy.ok()) return policy;
  return absl::InvalidArgumentError(text::StrCat("--allowed_private: ", policy.status().message()));
}

ImageFetcher::Options FetcherOptions(const SourceOptions& options,
                                     std::shared_ptr<http_client::Network> network) {
  ImageFetcher::Options fetcher;
  fetcher.network = std::move(network);
  fetcher.local_files_root = options.local_files_root;
  fetcher.s3 = http_client::S3AccessFromEnvironment();
  fetcher.allowed_private = options.allowed_private;
  fetcher.allow_all_private = options.allow_all_private;
  return fetcher;
}

}  // namespace image_fetch
