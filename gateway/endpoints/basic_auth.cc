#include "gateway/endpoints/basic_auth.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <openssl/crypto.h>

#include <utility>

#include "text/str_cat.h"

namespace gateway::endpoints {

BasicAuth::BasicAuth(std::string user, std::shared_ptr<const serving::Secret> password)
    : user_(std::move(user)),
      password_(std::move(password)),
      hashed_password_(password_->value()),
      wanted_(hash::Sha256(text::StrCat(user_, ":", hashed_password_))) {}

hash::Sha256Digest BasicAuth::Wanted() const {
  std::string password = password_->value();
  const std::lock_guard lock(mutex_);
  if (password != hashed_password_) {
    wanted_ = hash::Sha256(text::StrCat(user_, ":", password));
    hashed_password_ = std::move(password);
  }
  return wanted_;
}

bool BasicAuth::Accepts(std::string_view authorization) const {
  constexpr std::string_view kScheme = "Basic ";
  if (!absl::StartsWithIgnoreCase(text::View(authorization), text::View(kScheme))) return false;
  std::string credentials;
  const absl::string_view encoded =
      absl::StripAsciiWhitespace(text::View(authorization.substr(kScheme.size())));
  if (!absl::Base64Unescape(encoded, &credentials)) return false;
  // Equal digests mean equal texts, and comparing digests takes the same time whatever they hold
  // and however long the texts are.
  const hash::Sha256Digest given = hash::Sha256(credentials);
  const hash::Sha256Digest wanted = Wanted();
  return CRYPTO_memcmp(given.data(), wanted.data(), wanted.size()) == 0;
}

}  // namespace gateway::endpoints
