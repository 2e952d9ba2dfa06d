// A running gateway, asked over HTTP.
#ifndef DUET_CLI_GATEWAY_CLIENT_H_
#define DUET_CLI_GATEWAY_CLIENT_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <memory>
#include <string>

#include "http_client/address_policy.h"
#include "http_client/network.h"
#include "http_client/transfer.h"
#include "serving/flags.h"

namespace cli {

struct GatewayOptions {
  std::string gateway = "http://127.0.0.1:8003";
  std::string user;
  std::string password_file;
  std::string ca_certificates;
};

void AddFlags(GatewayOptions* options, serving::FlagTable* flags);

class GatewayClient {
 public:
  // InvalidArgument names the flag that can't be used.
  static absl::StatusOr<std::unique_ptr<GatewayClient>> Make(const GatewayOptions& options);

  // Waits for the answer to a GET, or to a POST of `body` unless it is "". An answer that is no
  // success is an error with the gateway's own sentence: NotFound (404), Unavailable (503, or there
  // is none), Unauthenticated (401), PermissionDenied (403), else FailedPrecondition.
  absl::StatusOr<boost::json::object> Ask(const std::string& path, const std::string& body = "");
  // The same for a GET, asked again each second for two minutes while it is Unavailable: a gateway
  // that restarts, or is busy with somebody else's request, is waited for.
  absl::StatusOr<boost::json::object> AskPatiently(const std::string& path);

 private:
  GatewayClient(GatewayOptions options, std::string authorization,
                http_client::AddressPolicy policy, std::shared_ptr<http_client::Network> network);

  const GatewayOptions options_;
  const std::string authorization_;  // a header, or ""
  const http_client::AddressPolicy policy_;
  http_client::TransferLoop loop_;
};

}  // namespace cli

#endif  // DUET_CLI_GATEWAY_CLIENT_H_
