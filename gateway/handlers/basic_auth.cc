#include "gateway/handlers/basic_auth.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <string>

#include "gateway/text.h"

namespace gateway::handlers {
namespace {

// Equal digests mean equal texts, and comparing digests takes the same time whatever they hold and
// however long the texts are.
std::array<unsigned char, 32> Digest(const std::string& text) {
  std::array<unsigned char, 32> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

}  // namespace

BasicAuth::BasicAuth(std::string_view user, std::string_view password)
    : digest_(Digest(StrCat(user, ":", password))) {}

bool BasicAuth::Accepts(std::string_view authorization) const {
  constexpr std::string_view kScheme = "Basic ";
  if (!absl::StartsWithIgnoreCase(View(authorization), View(kScheme))) return false;
  std::string credentials;
  const absl::string_view encoded =
      absl::StripAsciiWhitespace(View(authorization.substr(kScheme.size())));
  if (!absl::Base64Unescape(encoded, &credentials)) return false;
  const auto digest = Digest(credentials);
  return CRYPTO_memcmp(digest.data(), digest_.data(), digest.size()) == 0;
}

}  // namespace gateway::handlers
