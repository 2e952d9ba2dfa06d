// Who may begin and end trainings: the one place that decides it. A training costs hours of a
// machine and may change what a project is answered with, so it needs more than to reach the port.
//
//   with basic authentication      whoever has the password, from anywhere
//   without                        this machine (loopback), and the operator's Label Studio
//
// Label Studio signs nothing. It is known by where its connection comes from: one of the addresses
// that the host of --label_studio_url stands for. Behind a proxy all clients come from the same
// address, so a request that says that it was forwarded is nobody's; a proxy that doesn't say so
// can't be told from its machine. Either needs a password (docs/security.md). So does a browser.
#ifndef DUET_GATEWAY_ENDPOINTS_TRAINING_DOOR_H_
#define DUET_GATEWAY_ENDPOINTS_TRAINING_DOOR_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "gateway/endpoints/basic_auth.h"
#include "gateway/http/message.h"

namespace gateway::endpoints {

// 401. The one answer to a password that is missing or wrong.
http::Response MissingCredentials();

// The field by which a request says that a proxy has forwarded it; null if it doesn't.
const char* ForwardedBy(const http::Request& request);
// Whether an address is this machine's own for itself.
bool IsThisMachine(const boost::asio::ip::address& peer);

// The executor's context must not be run any more at destruction. Thread-safe.
class TrainingDoor {
 public:
  // `label_studio_url`: the operator's. `auth`: null if nobody is asked for a password.
  TrainingDoor(boost::asio::any_io_executor executor, const std::string& label_studio_url,
               std::shared_ptr<const BasicAuth> auth);

  // Looks up Label Studio's addresses from now on, again and again.
  void Begin();
  void Stop();

  // The answer to a request that may not, which is logged (audit.refused); nothing if it may.
  // Decided from the header. 503 until Label Studio's addresses were looked up.
  std::optional<http::Response> Refuse(const http::Request& request,
                                       const http::Context& context) const;
  // For the log: "the user of --basic_auth_user at 10.0.0.7", "loopback", "Label Studio at
  // 10.0.0.3".
  std::string NameOf(const http::Context& context) const;

 private:
  // The status of a refusal, and why; 0: it may.
  int Judge(const http::Request& request, const http::Context& context, std::string* why) const;
  boost::asio::awaitable<void> LookUpForever();
  bool IsLabelStudio(const boost::asio::ip::address& peer) const;

  const boost::asio::strand<boost::asio::any_io_executor> strand_;
  std::string host_;
  std::string port_;
  const std::shared_ptr<const BasicAuth> auth_;
  boost::asio::steady_timer timer_;  // on strand_
  mutable std::mutex mutex_;
  bool stopping_ = false;                         // guarded by mutex_
  bool looked_up_ = false;                        // guarded by mutex_
  std::set<boost::asio::ip::address> addresses_;  // Label Studio's; guarded by mutex_
};

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_TRAINING_DOOR_H_
