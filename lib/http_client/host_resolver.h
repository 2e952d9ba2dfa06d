// HostResolver turns host names into addresses without making anybody wait for a name server that
// doesn't answer.
//
// The system's look-up (getaddrinfo) blocks, and cannot be stopped: a name whose servers are silent
// takes up to half a minute. So each name that is asked for has a thread of its own, which is given
// up by those who wait when their time is over; all who ask for one name share one look-up. The
// system's rather than a DNS client's, so that /etc/hosts, mDNS and whatever else the machine is
// set up for keep working.
#ifndef DUET_HTTP_CLIENT_HOST_RESOLVER_H_
#define DUET_HTTP_CLIENT_HOST_RESOLVER_H_

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <boost/asio/ip/address.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace http_client {

// In the order in which they are to be tried; not empty.
using Addresses = std::vector<boost::asio::ip::address>;
// May block. Unavailable, naming the host, if it has no address or the name servers fail.
using LookUp = std::function<absl::StatusOr<Addresses>(const std::string& host)>;

// getaddrinfo, both families.
absl::StatusOr<Addresses> SystemLookUp(const std::string& host);

class HostResolver {
 public:
  struct Options {
    LookUp look_up = SystemLookUp;
    // Look-ups at work at once, those that hang included; a further name is refused.
    int max_look_ups = 128;
    // Who asks for a name that has been looked up for longer is refused at once.
    absl::Duration patience = absl::Seconds(5);
    absl::Duration fresh_for = absl::Seconds(30);
    absl::Duration failure_fresh_for = absl::Seconds(5);
    std::function<absl::Time()> clock = absl::Now;
  };
  using Callback = absl::AnyInvocable<void(absl::StatusOr<Addresses>) &&>;

  explicit HostResolver(Options options);
  // Doesn't wait for look-ups; callbacks may still come.
  ~HostResolver();

  // Any thread. `done` runs once, from within this call or on another thread; it hands over and
  // returns. `important`: a name that the operator gave, which is never refused for the number of
  // others. Errors, naming the host: those of the look-up, DeadlineExceeded (patience is over),
  // Unavailable (too many look-ups).
  void Resolve(const std::string& host, bool important, Callback done);

 private:
  struct Shared;
  const std::shared_ptr<Shared> shared_;  // with the threads
};

}  // namespace http_client

#endif  // DUET_HTTP_CLIENT_HOST_RESOLVER_H_
