// LabelStudioTokens makes the Authorization header for Label Studio out of what an operator copies
// from its account page: a legacy token, which is sent as it is, or a personal access token, a JWT
// that has to be exchanged for an access token of five minutes.
//
// Access tokens are kept and renewed by age or once Label Studio refuses one; concurrent fetches
// wait for one renewal.
#ifndef DUET_LABEL_STUDIO_API_LABEL_STUDIO_TOKENS_H_
#define DUET_LABEL_STUDIO_API_LABEL_STUDIO_TOKENS_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "containers/lru.h"
#include "http_client/transfer.h"
#include "label_studio_api/label_studio_site.h"

namespace label_studio_api {

enum class TokenKind {
  kNone,
  kLegacy,    // 40 hexadecimal digits, or anything that is no JWT: "Token ..."
  kPersonal,  // JWT with token_type "refresh": exchanged
  kAccess,    // JWT with token_type "access": "Bearer ..."
};
TokenKind ClassifyToken(std::string_view token);
// Until when a JWT says that it is valid; nothing if it doesn't say it, or is none.
std::optional<absl::Time> ExpiryOf(std::string_view token);

// Lives on the transfer loop's thread.
class LabelStudioTokens {
 public:
  LabelStudioTokens(http_client::TransferLoop& loop, std::function<absl::Time()> clock)
      : loop_(loop), clock_(std::move(clock)) {}

  // "Authorization: ..." or "" if there is no token. `refused`: the header that Label Studio has
  // just answered 401 to ("" if none); another one is made if that can help, else the same comes
  // back. Errors: Unauthenticated (the personal token is refused), those of TransferLoop::Perform.
  boost::asio::awaitable<absl::StatusOr<std::string>> Header(LabelStudioSite site,
                                                             std::string refused,
                                                             absl::Time deadline);

  // One exchange with Label Studio, with its header, at any address if the operator named the site.
  // If Label Studio answers 401 to an exchanged token (expired early, or revoked), there is a
  // second exchange with a new one. Errors: those of both.
  boost::asio::awaitable<absl::StatusOr<http_client::HttpResponse>> Perform(
      LabelStudioSite site, http_client::HttpRequest request,
      http_client::TransferLoop::TransferId* id = nullptr);

 private:
  struct Session {
    std::string header;
    absl::Time renew_at = absl::InfinitePast();
    // While a renewal runs, others wait for this timer, which is cancelled at its end.
    std::shared_ptr<boost::asio::steady_timer> renewal;
  };

  boost::asio::awaitable<absl::StatusOr<std::string>> Exchange(LabelStudioSite site,
                                                               std::string api_key,
                                                               absl::Time deadline);

  http_client::TransferLoop& loop_;
  const std::function<absl::Time()> clock_;
  // By URL and token, which anybody may have sent: bounded. One that is dropped is made again.
  containers::Lru<std::shared_ptr<Session>> sessions_{/*max_entries=*/256, /*max_bytes=*/4 << 20};
};

}  // namespace label_studio_api

#endif  // DUET_LABEL_STUDIO_API_LABEL_STUDIO_TOKENS_H_
