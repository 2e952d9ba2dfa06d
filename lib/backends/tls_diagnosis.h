// Why TLS with a replica fails, in words. gRPC says "Socket closed" for most of it: with TLS 1.3 a
// server turns a client's certificate down after the client's handshake is over, and what a plain
// client reads from a TLS server is no HTTP/2. Internal to backends.
#ifndef DUET_BACKENDS_TLS_DIAGNOSIS_H_
#define DUET_BACKENDS_TLS_DIAGNOSIS_H_

#include <boost/asio/awaitable.hpp>
#include <string>

#include "backends/channel.h"

namespace backends {

// Connects to `address` (an IP address and port) as a channel with these options does and returns
// what went wrong and what would help: "its certificate is not accepted: certificate has expired".
// "" if TLS isn't the reason, or not within two seconds.
boost::asio::awaitable<std::string> DiagnoseTls(std::string address, std::string host,
                                                const GrpcOptions& options);

}  // namespace backends

#endif  // DUET_BACKENDS_TLS_DIAGNOSIS_H_
