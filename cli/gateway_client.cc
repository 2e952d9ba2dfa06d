#include "cli/gateway_client.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <boost/json/parse.hpp>
#include <utility>

#include "files/text_file.h"
#include "text/str_cat.h"
#include "text/utf8.h"

namespace cli {
namespace {

namespace json = boost::json;
using text::StrCat;

// Label Studio's API, which the gateway asks, may take half a minute.
constexpr absl::Duration kTimeout = absl::Seconds(60);
constexpr std::int64_t kMaxAnswerBytes = 16 << 20;
constexpr std::size_t kMaxPasswordBytes = 4096;

absl::Status ErrorOf(int status, const std::string& body) {
  json::error_code error;
  const json::value value = json::parse(body, error);
  const json::value* said =
      error || !value.is_object() ? nullptr : value.get_object().if_contains("error");
  const std::string sentence =
      said != nullptr && said->is_string()
          ? std::string(said->get_string())
          : StrCat("the gateway answered ", status, ": ",
                   absl::CHexEscape(text::View(text::Utf8Prefix(body, 200))));
  switch (status) {
    case 401:
      return absl::UnauthenticatedError(
          StrCat(sentence, " (--basic_auth_user and --basic_auth_password_file)"));
    case 403:
      return absl::PermissionDeniedError(sentence);
    case 404:
      return absl::NotFoundError(sentence);
    case 503:
    case 504:
      return absl::UnavailableError(sentence);
    default:
      return absl::FailedPreconditionError(sentence);
  }
}

}  // namespace

void AddFlags(GatewayOptions* options, serving::FlagTable* flags) {
  flags->Add("gateway", &options->gateway, "Where the gateway is.");
  flags->Add("basic_auth_user", &options->user, "The gateway's flag of that name.");
  flags->Add("basic_auth_password_file", &options->password_file,
             "The gateway's flag of that name.");
  flags->Add("ca_certificates", &options->ca_certificates,
             "PEM file of certificate authorities that are trusted besides the system's, for a "
             "gateway that serves HTTPS.");
}

absl::StatusOr<std::unique_ptr<GatewayClient>> GatewayClient::Make(const GatewayOptions& options) {
  if (!options.gateway.starts_with("http://") && !options.gateway.starts_with("https://")) {
    return absl::InvalidArgumentError(
        StrCat("--gateway is '", options.gateway, "'; needed: http(s)://HOST:PORT"));
  }
  if (options.user.empty() != options.password_file.empty()) {
    return absl::InvalidArgumentError(
        "--basic_auth_user and --basic_auth_password_file go together");
  }
  std::string authorization;
  if (!options.user.empty()) {
    const auto password = files::ReadText(options.password_file, kMaxPasswordBytes);
    if (!password.ok()) {
      return absl::InvalidArgumentError(
          StrCat("--basic_auth_password_file: ", password.status().message()));
    }
    std::string credentials =
        StrCat(options.user, ":", std::string(absl::StripAsciiWhitespace(*password)));
    authorization = StrCat("Authorization: Basic ", absl::Base64Escape(credentials));
  }
  // This is no page's request: the address is the caller's own choice.
  auto policy = http_client::AddressPolicy::Make({}, /*allow_all_private=*/true);
  if (!policy.ok()) return policy.status();
  auto network = http_client::Network::Make({.ca_certificates = options.ca_certificates});
  if (!network.ok()) return network.status();
  GatewayOptions kept = options;
  while (kept.gateway.ends_with('/')) kept.gateway.pop_back();
  return std::unique_ptr<GatewayClient>(new GatewayClient(std::move(kept), std::move(authorization),
                                                          *std::move(policy), *std::move(network)));
}

GatewayClient::GatewayClient(GatewayOptions options, std::string authorization,
                             http_client::AddressPolicy policy,
                             std::shared_ptr<http_client::Network> network)
    : options_(std::move(options)),
      authorization_(std::move(authorization)),
      policy_(std::move(policy)),
      loop_(policy_, std::move(network)) {}

absl::StatusOr<json::object> GatewayClient::Ask(const std::string& path, const std::string& body) {
  http_client::HttpRequest request;
  request.url = options_.gateway + path;
  if (!authorization_.empty()) request.headers.push_back(authorization_);
  request.json_body = body;
  request.trusted = true;
  request.deadline = absl::Now() + kTimeout;
  request.max_bytes = kMaxAnswerBytes;
  const auto answer = http_client::PerformAndWait(loop_, std::move(request));
  if (!answer.ok()) {
    return absl::UnavailableError(StrCat("no answer from the gateway at ", options_.gateway, ": ",
                                         answer.status().message()));
  }
  if (answer->status < 200 || answer->status > 299) return ErrorOf(answer->status, answer->body);
  json::error_code error;
  json::value value = json::parse(answer->body, error);
  if (error || !value.is_object()) {
    return absl::FailedPreconditionError(
        StrCat("the answer of ", options_.gateway, path, " is no JSON object; is it a gateway?"));
  }
  return std::move(value.get_object());
}

absl::StatusOr<json::object> GatewayClient::AskPatiently(const std::string& path) {
  constexpr absl::Duration kPause = absl::Seconds(1), kPatience = absl::Minutes(2);
  const absl::Time give_up = absl::Now() + kPatience;
  while (true) {
    auto answer = Ask(path);
    if (answer.ok() || !absl::IsUnavailable(answer.status()) || absl::Now() >= give_up) {
      return answer;
    }
    absl::SleepFor(kPause);
  }
}

}  // namespace cli
