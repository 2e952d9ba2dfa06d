#include "label_studio_api/label_studio_tokens.h"

#include <absl/status/status.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_split.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <utility>
#include <vector>

#include "http_client/url.h"
#include "text/str_cat.h"

namespace label_studio_api {
namespace {

namespace json = boost::json;

// Label Studio gives 300 s; renewed before that, so that no request meets the end.
constexpr auto kAccessTokenAge = absl::Seconds(240);
// An exchange answers a few hundred bytes.
constexpr std::int64_t kMaxExchangeBytes = 1 << 20;
constexpr std::size_t kMaxAccessToken = 8 << 10;

// "" if absent.
std::string Field(const json::value& value, std::string_view name) {
  const json::object* object = value.if_object();
  const json::value* field = object == nullptr ? nullptr : object->if_contains(name);
  const json::string* text = field == nullptr ? nullptr : field->if_string();
  return text == nullptr ? "" : std::string(*text);
}

// What a JWT says; nothing if it is none.
std::optional<json::value> ClaimsOf(std::string_view token) {
  const std::vector<std::string> parts = absl::StrSplit(text::View(token), '.');
  std::string payload;
  if (parts.size() != 3 || !absl::WebSafeBase64Unescape(parts[1], &payload)) return std::nullopt;
  json::error_code error;
  json::value claims = json::parse(payload, error);
  if (error) return std::nullopt;
  return claims;
}

}  // namespace

TokenKind ClassifyToken(std::string_view token) {
  if (token.empty()) return TokenKind::kNone;
  const auto claims = ClaimsOf(token);
  if (!claims) return TokenKind::kLegacy;
  return Field(*claims, "token_type") == "access" ? TokenKind::kAccess : TokenKind::kPersonal;
}

std::optional<absl::Time> ExpiryOf(std::string_view token) {
  const auto claims = ClaimsOf(token);
  const json::object* const object = claims ? claims->if_object() : nullptr;
  const json::value* const expiry = object == nullptr ? nullptr : object->if_contains("exp");
  const std::int64_t* const seconds = expiry == nullptr ? nullptr : expiry->if_int64();
  if (seconds == nullptr) return std::nullopt;
  return absl::FromUnixSeconds(*seconds);
}

boost::asio::awaitable<absl::StatusOr<std::string>> LabelStudioTokens::Header(LabelStudioSite site,
                                                                              std::string refused,
                                                                              absl::Time deadline) {
  const std::string api_key = site.Token();
  // A control character would let the token write headers of its own.
  for (const char c : api_key) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      co_return absl::UnauthenticatedError(
          "the Label Studio token has a control character in it; copy it again");
    }
  }
  switch (ClassifyToken(api_key)) {
    case TokenKind::kNone:
      co_return "";
    case TokenKind::kLegacy:
      co_return text::StrCat("Authorization: Token ", api_key);
    case TokenKind::kAccess:
      co_return text::StrCat("Authorization: Bearer ", api_key);
    case TokenKind::kPersonal:
      break;
  }
  const std::string key = text::StrCat(site.url, "\n", api_key);
  const std::shared_ptr<Session>* const known = sessions_.Find(key);
  const std::shared_ptr<Session> session = known ? *known : std::make_shared<Session>();
  if (known == nullptr) sessions_.Insert(key, session, kMaxAccessToken);
  while (session->renewal != nullptr) {
    const std::shared_ptr<boost::asio::steady_timer> renewal = session->renewal;
    boost::system::error_code ignored;  // always "cancelled": the renewal has ended
    co_await renewal->async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
  if (!session->header.empty() && session->header != refused && clock_() < session->renew_at) {
    co_return session->header;
  }
  session->renewal = std::make_shared<boost::asio::steady_timer>(
      loop_.context(), boost::asio::steady_timer::time_point::max());
  absl::StatusOr<std::string> token = co_await Exchange(std::move(site), api_key, deadline);
  session->renewal->cancel();
  session->renewal = nullptr;
  if (!token.ok()) {
    session->header.clear();
    co_return token.status();
  }
  session->header = text::StrCat("Authorization: Bearer ", *token);
  session->renew_at = clock_() + kAccessTokenAge;
  co_return session->header;
}

boost::asio::awaitable<absl::StatusOr<http_client::HttpResponse>> LabelStudioTokens::Perform(
    LabelStudioSite site, http_client::HttpRequest request,
    http_client::TransferLoop::TransferId* id) {
  request.trusted = site.trusted;
  std::string refused;
  for (;;) {
    auto making = Header(site, refused, request.deadline);
    absl::StatusOr<std::string> header = co_await std::move(making);
    if (!header.ok()) co_return header.status();
    http_client::HttpRequest authorized = request;
    if (!header->empty()) authorized.headers.push_back(*header);
    auto performing = loop_.Perform(std::move(authorized), id);
    absl::StatusOr<http_client::HttpResponse> response = co_await std::move(performing);
    const bool may_help = refused.empty() && ClassifyToken(site.Token()) == TokenKind::kPersonal;
    if (!response.ok() || response->status != 401 || !may_help) co_return response;
    refused = *std::move(header);
  }
}

boost::asio::awaitable<absl::StatusOr<std::string>> LabelStudioTokens::Exchange(
    LabelStudioSite site, std::string api_key, absl::Time deadline) {
  http_client::HttpRequest request;
  request.url = site.url + "/api/token/refresh/";
  request.json_body = json::serialize(json::object{{"refresh", api_key}});
  request.trusted = site.trusted;
  request.deadline = deadline;
  request.max_bytes = kMaxExchangeBytes;
  auto performing = loop_.Perform(std::move(request));
  absl::StatusOr<http_client::HttpResponse> response = co_await std::move(performing);
  if (!response.ok()) co_return response.status();
  if (response->status >= 500) {
    co_return absl::UnavailableError(text::StrCat("Label Studio answered ", response->status,
                                                  " to the exchange of the personal access token"));
  }
  if (response->status != 200) {
    co_return absl::UnauthenticatedError(
        text::StrCat("Label Studio refused the personal access token with ", response->status,
                     "; make a new one under Account & Settings and set --label_studio_api_key"));
  }
  json::error_code error;
  const json::value body = json::parse(response->body, error);
  std::string token = error ? "" : Field(body, "access");
  // A line break would end the header.
  if (token.empty() || token.size() > kMaxAccessToken ||
      token.find_first_of("\r\n") != std::string::npos) {
    co_return absl::UnavailableError(
        text::StrCat(http_client::RedactUri(site.url),
                     " answered the token exchange without an access token; is "
                     "--label_studio_url a Label Studio?"));
  }
  co_return token;
}

}  // namespace label_studio_api
