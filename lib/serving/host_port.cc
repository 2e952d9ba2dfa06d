#include "serving/host_port.h"

#include <absl/strings/str_cat.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "serving/log.h"
#include "text/authority.h"

namespace serving {
namespace {

// getaddrinfo for TCP; 0, or its error.
int Resolve(const std::string& host, int port, addrinfo** found) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  return getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, found);
}

}  // namespace

absl::Status CheckCanListen(const std::string& host, int port, std::string_view flag) {
  const auto error = [&](const char* why) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", text::JoinHostPort(host, port),
                                               ": ", why, " (", std::string(flag), ")"));
  };
  addrinfo* found = nullptr;
  if (int code = Resolve(host, port, &found)) return error(gai_strerror(code));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return error(std::strerror(errno));
  // As servers do: connections of an earlier process in TIME_WAIT don't count, one that listens
  // does.
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool listens = bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 1) == 0;
  const int code = errno;
  close(fd);
  if (!listens) return error(std::strerror(code));
  return absl::OkStatus();
}

bool IsLoopback(const std::string& host) {
  addrinfo* found = nullptr;
  if (Resolve(host, 0, &found) != 0) return false;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (one->ai_family == AF_INET) {
      const auto& address = reinterpret_cast<const sockaddr_in*>(one->ai_addr)->sin_addr;
      if (ntohl(address.s_addr) >> 24 != 127) return false;
    } else if (one->ai_family == AF_INET6) {
      const auto& address = reinterpret_cast<const sockaddr_in6*>(one->ai_addr)->sin6_addr;
      const bool mapped = IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127;
      if (!IN6_IS_ADDR_LOOPBACK(&address) && !mapped) return false;
    }
  }
  return true;
}

void WarnIfOpenPlaintext(const std::string& host, bool tls, std::string_view remedy) {
  if (tls || IsLoopback(host)) return;
  LogLine("listening.plaintext", LogLevel::kWarning)
      .Str("bind", host)
      .Str("risk", "others on the network can read and change what is sent here")
      .Str("remedy", remedy);
}

}  // namespace serving
