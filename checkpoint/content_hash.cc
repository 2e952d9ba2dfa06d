#include "checkpoint/content_hash.h"

#include <absl/strings/escaping.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <thread>

#include "checkpoint/str_cat.h"

namespace checkpoint {
namespace {

constexpr std::size_t kChunkSize = std::size_t{8} << 20;
constexpr std::size_t kMaxThreads = 8;

using Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

Digest Sha256(std::string_view bytes) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

template <typename Bytes>
std::string Hex(const Bytes& digest) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

}  // namespace

std::string HashBytes(std::string_view bytes) {
  std::vector<Digest> digests((bytes.size() + kChunkSize - 1) / kChunkSize);
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < digests.size(); i = next++) {
      digests[i] = Sha256(bytes.substr(i * kChunkSize, kChunkSize));
    }
  };
  std::vector<std::jthread> threads(
      std::min({digests.size(), kMaxThreads, std::size_t{std::thread::hardware_concurrency()}}));
  // The calling thread is one of them.
  for (std::size_t i = 1; i < threads.size(); ++i) threads[i] = std::jthread(work);
  work();
  threads.clear();

  return Hex(
      Sha256({reinterpret_cast<const char*>(digests.data()), digests.size() * sizeof(Digest)}));
}

std::string HashZip(std::string_view file, const std::vector<ZipEntry>& entries) {
  std::string listing;
  for (const ZipEntry& entry : entries) {
    if (entry.crc32 == 0 && entry.size > 0) return HashBytes(file);
    const std::string_view name = entry.name.substr(entry.name.find('/') + 1);
    listing += StrCat(name, "\n", entry.size, "\n", entry.crc32, "\n");
  }
  return Hex(Sha256(listing));
}

}  // namespace checkpoint
