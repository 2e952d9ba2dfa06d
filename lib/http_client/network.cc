#include "http_client/network.h"

#include <absl/status/status.h>
#include <absl/strings/str_split.h>
#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "text/str_cat.h"

namespace http_client {
namespace {

struct StoreDeleter {
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
};
using StorePtr = std::unique_ptr<X509_STORE, StoreDeleter>;

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

absl::Status AddFile(X509_STORE* store, const std::string& file, const char* name) {
  ERR_clear_error();
  if (X509_STORE_load_file(store, file.c_str()) == 1) return absl::OkStatus();
  const char* const reason = ERR_reason_error_string(ERR_peek_error());
  return absl::InvalidArgumentError(
      text::StrCat(name, "=", file, " is not a PEM file of certificates that can be read",
                   reason == nullptr ? "" : text::StrCat(" (", reason, ")")));
}

// Whether `directory` is one as c_rehash makes it, from which a certificate is read when it is
// needed: "4a6481c9.0".
bool IsHashed(const std::string& directory) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".0") return true;
  }
  return false;
}

// As OpenSSL finds them; but a whole bundle, which takes tens of milliseconds, is read only if
// there is no directory.
absl::Status AddSystemAuthorities(X509_STORE* store) {
  const std::string file = Variable("SSL_CERT_FILE");
  const std::string directories = Variable("SSL_CERT_DIR");
  std::error_code ignored;
  if (!file.empty()) {
    if (absl::Status status = AddFile(store, file, "SSL_CERT_FILE"); !status.ok()) return status;
  }
  for (const std::string& directory :
       std::vector<std::string>(absl::StrSplit(directories, ':', absl::SkipEmpty()))) {
    if (!std::filesystem::is_directory(directory, ignored)) {
      return absl::InvalidArgumentError(
          text::StrCat("SSL_CERT_DIR=", directories, ": ", directory, " is not a directory"));
    }
    X509_STORE_load_path(store, directory.c_str());
  }
  if (!directories.empty()) return absl::OkStatus();
  const char* const usual = X509_get_default_cert_dir();
  if (IsHashed(usual)) {
    X509_STORE_load_path(store, usual);
  } else if (file.empty()) {
    const char* const bundle = curl_version_info(CURLVERSION_NOW)->cainfo;
    X509_STORE_load_file(store, bundle == nullptr ? X509_get_default_cert_file() : bundle);
  }
  ERR_clear_error();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<Network>> Network::Make(NetworkOptions options) {
  StorePtr store(X509_STORE_new());
  if (store == nullptr) return absl::ResourceExhaustedError("OpenSSL has no memory");
  // A certificate that is given is trusted, also if it isn't a root.
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  if (absl::Status status = AddSystemAuthorities(store.get()); !status.ok()) return status;
  if (!options.ca_certificates.empty()) {
    absl::Status status = AddFile(store.get(), options.ca_certificates, "--ca_certificates");
    if (!status.ok()) return status;
  }
  absl::StatusOr<ProxyRules> proxies = ProxyRules::Make(options.proxy, Variable);
  if (!proxies.ok()) return proxies.status();
  return std::shared_ptr<Network>(
      new Network(std::move(options.resolver), *std::move(proxies), store.release()));
}

std::shared_ptr<Network> Network::Default() {
  absl::StatusOr<std::shared_ptr<Network>> network = Make({});
  if (network.ok()) return *std::move(network);
  return std::shared_ptr<Network>(new Network({}, {}, X509_STORE_new()));
}

Network::Network(HostResolver::Options resolver, ProxyRules proxies, X509_STORE* authorities)
    : resolver_(std::move(resolver)), proxies_(std::move(proxies)), authorities_(authorities) {}

Network::~Network() { X509_STORE_free(authorities_); }

}  // namespace http_client
