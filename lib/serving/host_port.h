// Addresses to listen on.
#ifndef DUET_SERVING_HOST_PORT_H_
#define DUET_SERVING_HOST_PORT_H_

#include <absl/status/status.h>

#include <string>
#include <string_view>

namespace serving {

// Listens on host:port and closes the socket again, so that the error can say what is wrong:
// "cannot listen on 127.0.0.1:50051: Address already in use (--port)". Another process may still
// take the port before the server does. `flag`: the setting that the error names.
absl::Status CheckCanListen(const std::string& host, int port, std::string_view flag);

// Whether only this machine reaches a listener at `host`: all of its addresses are loopback.
bool IsLoopback(const std::string& host);

// Writes one warning if `host` is reached from elsewhere and what is sent there isn't encrypted.
// `remedy`: which flags to set.
void WarnIfOpenPlaintext(const std::string& host, bool tls, std::string_view remedy);

}  // namespace serving

#endif  // DUET_SERVING_HOST_PORT_H_
