// Addresses to listen on.
#ifndef DUET_SERVING_HOST_PORT_H_
#define DUET_SERVING_HOST_PORT_H_

#include <absl/status/status.h>

#include <string>
#include <string_view>

namespace serving {

// "127.0.0.1:80"; an IPv6 address gets its brackets: "[::1]:80".
std::string JoinHostPort(const std::string& host, int port);

// Tries to listen on host:port and lets go of it again, for the sake of an error that says what is
// wrong: "cannot listen on 127.0.0.1:50051: Address already in use (--port)". Another process may
// still take the port before its user does. `flag`: what to name as the setting to change.
absl::Status CheckCanListen(const std::string& host, int port, std::string_view flag);

// Whether only this machine reaches a listener at `host`: all of its addresses are loopback.
bool IsLoopback(const std::string& host);

// Writes one warning if `host` is reached from elsewhere and what is sent there isn't encrypted.
// `remedy`: which flags to set.
void WarnIfOpenPlaintext(const std::string& host, bool tls, std::string_view remedy);

}  // namespace serving

#endif  // DUET_SERVING_HOST_PORT_H_
