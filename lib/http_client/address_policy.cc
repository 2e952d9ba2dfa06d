#include "http_client/address_policy.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>

#include <algorithm>
#include <array>
#include <utility>

#include "text/str_cat.h"

namespace http_client {
namespace {

namespace ip = boost::asio::ip;

bool Contains(const ip::network_v4& network, const ip::address_v4& address) {
  const ip::address_v4::uint_type mask =
      network.prefix_length() == 0 ? 0 : ~0u << (32 - network.prefix_length());
  return (address.to_uint() & mask) == (network.address().to_uint() & mask);
}

bool Contains(const ip::network_v6& network, const ip::address_v6& address) {
  const ip::address_v6::bytes_type left = network.address().to_bytes();
  const ip::address_v6::bytes_type right = address.to_bytes();
  for (int bit = 0; bit < network.prefix_length(); ++bit) {
    const auto byte = static_cast<std::size_t>(bit / 8);
    if (((left[byte] ^ right[byte]) & (0x80 >> bit % 8)) != 0) return false;
  }
  return true;
}

// IANA's special-purpose registries: what isn't globally reachable.
const std::vector<ip::network_v4>& SpecialV4() {
  static const std::vector<ip::network_v4> networks = [] {
    std::vector<ip::network_v4> list;
    for (const char* text :
         {"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
          "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
          "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"}) {
      list.push_back(ip::make_network_v4(text));
    }
    return list;
  }();
  return networks;
}

bool IsPublicV4(const ip::address_v4& address) {
  return std::none_of(SpecialV4().begin(), SpecialV4().end(),
                      [&](const ip::network_v4& network) { return Contains(network, address); });
}

ip::address_v4 EmbeddedV4(const ip::address_v6& address, std::size_t at) {
  const ip::address_v6::bytes_type bytes = address.to_bytes();
  return ip::address_v4({bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]});
}

bool IsPublicV6(const ip::address_v6& address) {
  static const ip::network_v6 kMapped = ip::make_network_v6("::ffff:0:0/96");
  static const ip::network_v6 kNat64 = ip::make_network_v6("64:ff9b::/96");
  static const ip::network_v6 k6to4 = ip::make_network_v6("2002::/16");
  if (Contains(kMapped, address) || Contains(kNat64, address)) {
    return IsPublicV4(EmbeddedV4(address, 12));
  }
  if (Contains(k6to4, address)) return IsPublicV4(EmbeddedV4(address, 2));
  // Of all of IPv6 only 2000::/3 is global unicast; the rest is loopback, link-local, unique local,
  // multicast or not given out. Inside of it: protocol assignments with Teredo, documentation.
  static const ip::network_v6 kGlobal = ip::make_network_v6("2000::/3");
  static const std::array<ip::network_v6, 3> kSpecial = {ip::make_network_v6("2001::/23"),
                                                         ip::make_network_v6("2001:db8::/32"),
                                                         ip::make_network_v6("3fff::/20")};
  return Contains(kGlobal, address) &&
         std::none_of(kSpecial.begin(), kSpecial.end(),
                      [&](const ip::network_v6& network) { return Contains(network, address); });
}

}  // namespace

bool IsPublicAddress(const ip::address& address) {
  return address.is_v4() ? IsPublicV4(address.to_v4()) : IsPublicV6(address.to_v6());
}

absl::StatusOr<AddressPolicy> AddressPolicy::Make(const std::vector<std::string>& allowed_private,
                                                  bool allow_all_private) {
  AddressPolicy policy;
  policy.allow_all_ = allow_all_private;
  for (const std::string& entry : allowed_private) {
    const std::string text = absl::AsciiStrToLower(absl::StripAsciiWhitespace(entry));
    if (text.find('/') == std::string::npos) {
      if (text.empty() || text.find_first_of(" @") != std::string::npos) {
        return absl::InvalidArgumentError(text::StrCat(
            "'", entry, "' is neither a host, host:port nor a network like 10.0.0.0/8"));
      }
      policy.hosts_.push_back(text);
      continue;
    }
    boost::system::error_code error;
    if (const ip::network_v4 network = ip::make_network_v4(text, error); !error) {
      policy.networks_v4_.push_back(network);
    } else if (const ip::network_v6 v6 = ip::make_network_v6(text, error); !error) {
      policy.networks_v6_.push_back(v6);
    } else {
      return absl::InvalidArgumentError(
          text::StrCat("'", entry, "' is not a network like 10.0.0.0/8"));
    }
  }
  return policy;
}

bool AddressPolicy::Allows(std::string_view host, int port, const ip::address& address) const {
  if (allow_all_ || IsPublicAddress(address)) return true;
  const std::string name = absl::AsciiStrToLower(text::View(host));
  const std::string name_and_port = text::StrCat(name, ":", port);
  for (const std::string& allowed : hosts_) {
    if (allowed == name || allowed == name_and_port) return true;
  }
  ip::address plain = address;
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    plain = ip::make_address_v4(ip::v4_mapped, address.to_v6());
  }
  if (plain.is_v4()) {
    return std::any_of(networks_v4_.begin(), networks_v4_.end(),
                       [&](const auto& network) { return Contains(network, plain.to_v4()); });
  }
  return std::any_of(networks_v6_.begin(), networks_v6_.end(),
                     [&](const auto& network) { return Contains(network, plain.to_v6()); });
}

}  // namespace http_client
