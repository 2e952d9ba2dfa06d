// Which requests go through an HTTP proxy.
//
// Behind a proxy the gateway doesn't see the address that a name stands for, so the address policy
// cannot judge names there: that is the proxy's business. Hence no proxy is used because a variable
// happens to be set; the operator says so.
#ifndef DUET_HTTP_CLIENT_PROXY_H_
#define DUET_HTTP_CLIENT_PROXY_H_

#include <absl/status/statusor.h>

#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace http_client {

struct Proxy {
  std::string url;   // with user and password, if it has them
  std::string host;  // in lower case, an IPv6 address without brackets
  int port = 0;
};

// Immutable, thread-safe.
class ProxyRules {
 public:
  // `setting`: "": no proxy; "environment": http_proxy, https_proxy and all_proxy, as curl reads
  // them; else the URL of the one proxy. What no_proxy names, and this machine itself, is always
  // asked directly. `variable` gives an environment variable's value, "" if it isn't set.
  // InvalidArgument for what is not an http(s) URL.
  static absl::StatusOr<ProxyRules> Make(const std::string& setting,
                                         const std::function<std::string(const char*)>& variable);

  // Null: asked directly. `scheme`: "http" or "https"; `host` in lower case, without brackets.
  const Proxy* For(std::string_view scheme, std::string_view host, int port) const;

 private:
  // An entry of no_proxy: "example.org" (and all below), "host:8080", "10.0.0.0/8", "::1".
  struct Exception {
    std::string host;
    int port = 0;  // 0: any
    std::optional<boost::asio::ip::network_v4> v4;
    std::optional<boost::asio::ip::network_v6> v6;
  };
  static Exception ParseException(std::string entry);

  std::optional<Proxy> http_;
  std::optional<Proxy> https_;
  bool all_direct_ = false;
  std::vector<Exception> exceptions_;
};

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_PROXY_H_
