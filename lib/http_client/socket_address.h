// Addresses as the system's calls hand them over.
#ifndef DUET_HTTP_CLIENT_SOCKET_ADDRESS_H_
#define DUET_HTTP_CLIENT_SOCKET_ADDRESS_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <cstring>
#include <optional>

namespace http_client {

// Absent for other families than IPv4 and IPv6, and if `length` bytes are too few.
inline std::optional<boost::asio::ip::address> AddressOf(const sockaddr* address,
                                                         std::size_t length) {
  namespace ip = boost::asio::ip;
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof v4);
    return ip::address_v4(ntohl(v4.sin_addr.s_addr));
  }
  if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof v6);
    ip::address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), v6.sin6_addr.s6_addr, bytes.size());
    return ip::address_v6(bytes, v6.sin6_scope_id);
  }
  return std::nullopt;
}

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_SOCKET_ADDRESS_H_
