#include "gateway/endpoints/basic_auth.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>
#include <string>

#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

// Equal digests mean equal texts, and comparing digests takes the same time whatever they hold and
// however long the texts are.
std::array<unsigned char, 32> Digest(const std::string& text) {
  std::array<unsigned char, 32> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

}  // namespace

bool AcceptsBasicAuth(std::string_view authorization, std::string_view user,
                      std::string_view password) {
  constexpr std::string_view kScheme = "Basic ";
  if (!absl::StartsWithIgnoreCase(text::View(authorization), text::View(kScheme))) return false;
  std::string credentials;
  const absl::string_view encoded =
      absl::StripAsciiWhitespace(text::View(authorization.substr(kScheme.size())));
  if (!absl::Base64Unescape(encoded, &credentials)) return false;
  const auto given = Digest(credentials);
  const auto wanted = Digest(text::StrCat(user, ":", password));
  return CRYPTO_memcmp(given.data(), wanted.data(), wanted.size()) == 0;
}

}  // namespace gateway::endpoints
