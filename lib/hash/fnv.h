// FNV-1a, a fast hash for keys and choices that must be the same in every process and in every
// release: absl::Hash is seeded per process. Not for texts that somebody could choose so that they
// collide; for those there is hash/sha256.h.
#ifndef DUET_HASH_FNV_H_
#define DUET_HASH_FNV_H_

#include <cstdint>
#include <string_view>

namespace hash {

// The hash of the empty text.
inline constexpr std::uint64_t kFnv1aStart = 0xcbf29ce484222325;

// The 64-bit hash of `bytes`. `start`: the hash of what stands before them, if there is anything:
// Fnv1a("bc", Fnv1a("a")) is Fnv1a("abc").
constexpr std::uint64_t Fnv1a(std::string_view bytes, std::uint64_t start = kFnv1aStart) {
  std::uint64_t hash = start;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace hash

#endif  // DUET_HASH_FNV_H_
