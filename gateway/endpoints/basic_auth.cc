#include "gateway/endpoints/basic_auth.h"

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <openssl/crypto.h>

#include <string>

#include "hash/sha256.h"
#include "text/str_cat.h"

namespace gateway::endpoints {
namespace {

// Equal digests mean equal texts, and comparing digests takes the same time whatever they hold and
// however long the texts are.
bool EqualInConstantTime(std::string_view a, std::string_view b) {
  const hash::Sha256Digest digest_a = hash::Sha256(a);
  const hash::Sha256Digest digest_b = hash::Sha256(b);
  return CRYPTO_memcmp(digest_a.data(), digest_b.data(), digest_a.size()) == 0;
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
  return EqualInConstantTime(credentials, text::StrCat(user, ":", password));
}

}  // namespace gateway::endpoints
