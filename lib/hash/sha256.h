// SHA-256, for names and keys that two different contents must never share.
#ifndef DUET_HASH_SHA256_H_
#define DUET_HASH_SHA256_H_

#include <openssl/types.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

namespace hash {

using Sha256Digest = std::array<unsigned char, 32>;

Sha256Digest Sha256(std::string_view bytes);

// 64 lower-case hex digits, as `sha256sum` prints them.
std::string Hex(const Sha256Digest& digest);
std::string Sha256Hex(std::string_view bytes);

// The digest as the bytes of a text: a key, or something to hash again. It points into `digest`.
std::string_view AsBytes(const Sha256Digest& digest);

// The digest of bytes that arrive in parts. Movable.
class Sha256Hasher {
 public:
  Sha256Hasher();

  void Update(std::string_view bytes);
  // Of everything so far. REQUIRES: nothing else is called afterwards.
  Sha256Digest Finish();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const;
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace hash

#endif  // DUET_HASH_SHA256_H_
