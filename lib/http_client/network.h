// How the gateway reaches other machines: which certificates it trusts, which proxy it takes, who
// resolves names. One for the process.
#ifndef DUET_HTTP_CLIENT_NETWORK_H_
#define DUET_HTTP_CLIENT_NETWORK_H_

#include <absl/status/statusor.h>
#include <openssl/types.h>

#include <memory>
#include <string>

#include "http_client/host_resolver.h"
#include "http_client/proxy.h"

namespace http_client {

struct NetworkOptions {
  // PEM file of certificate authorities trusted besides the system's; "": none.
  std::string ca_certificates;
  // As ProxyRules::Make takes it.
  std::string proxy;
  HostResolver::Options resolver;
};

// Thread-safe.
class Network {
 public:
  // The system's authorities are those of SSL_CERT_FILE and SSL_CERT_DIR, if these are set.
  // InvalidArgument, naming the flag or variable, for a file without certificates or what is no
  // proxy.
  static absl::StatusOr<std::shared_ptr<Network>> Make(NetworkOptions options);
  // What Make gives without options; where that fails, a network that trusts nobody.
  static std::shared_ptr<Network> Default();
  ~Network();

  HostResolver& resolver() { return resolver_; }
  const ProxyRules& proxies() const { return proxies_; }
  X509_STORE* authorities() const { return authorities_; }

 private:
  Network(HostResolver::Options resolver, ProxyRules proxies, X509_STORE* authorities);

  HostResolver resolver_;
  const ProxyRules proxies_;
  X509_STORE* const authorities_;
};

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_NETWORK_H_
