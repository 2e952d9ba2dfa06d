// AddressPolicy decides which network addresses an image may be fetched from.
//
// A task's image string is written by whoever imports tasks; without a check it would make the
// gateway ask any host that it can reach: metadata services, databases, itself (server-side request
// forgery). Names prove nothing, so the check is on the address that a connection is opened to.
#ifndef DUET_HTTP_CLIENT_ADDRESS_POLICY_H_
#define DUET_HTTP_CLIENT_ADDRESS_POLICY_H_

#include <absl/status/statusor.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace http_client {

// False for loopback, private, link-local, shared, multicast, documentation and reserved ranges,
// also where an IPv6 address carries such an IPv4 one.
bool IsPublicAddress(const boost::asio::ip::address& address);

// Immutable, thread-safe.
class AddressPolicy {
 public:
  // Entries: "host", "host:port", "10.0.0.0/8" or "fd00::/8". InvalidArgument names the malformed
  // one.
  static absl::StatusOr<AddressPolicy> Make(const std::vector<std::string>& allowed_private,
                                            bool allow_all_private);

  // `host` and `port` as the URL has them, `address` what the connection goes to.
  bool Allows(std::string_view host, int port, const boost::asio::ip::address& address) const;

 private:
  bool allow_all_ = false;
  std::vector<std::string> hosts_;  // lower case, with or without port
  std::vector<boost::asio::ip::network_v4> networks_v4_;
  std::vector<boost::asio::ip::network_v6> networks_v6_;
};

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_ADDRESS_POLICY_H_
