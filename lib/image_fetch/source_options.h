// The flags that say where a process may fetch images, and how.
#ifndef DUET_IMAGE_FETCH_SOURCE_OPTIONS_H_
#define DUET_IMAGE_FETCH_SOURCE_OPTIONS_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "http_client/address_policy.h"
#include "http_client/network.h"
#include "image_fetch/image_fetcher.h"
#include "serving/flags.h"

namespace image_fetch {

struct SourceOptions {
  std::string local_files_root;
  std::vector<std::string> allowed_private;
  bool allow_all_private = false;
  std::string ca_certificates;
  std::string image_proxy;
};

// A flag each, of its name.
void AddFlags(SourceOptions* options, serving::FlagTable* flags);

// InvalidArgument names the flag whose value can't be used.
absl::StatusOr<std::shared_ptr<http_client::Network>> MakeNetwork(const SourceOptions& options);
absl::StatusOr<http_client::AddressPolicy> MakePolicy(const SourceOptions& options);

// With S3's keys of the environment; sizes and the cache are the defaults.
ImageFetcher::Options FetcherOptions(const SourceOptions& options,
                                     std::shared_ptr<http_client::Network> network);

}  // namespace image_fetch

#endif  // DUET_IMAGE_FETCH_SOURCE_OPTIONS_H_
