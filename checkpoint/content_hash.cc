#include "checkpoint/content_hash.h"

#include <absl/strings/escaping.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <map>
#include <thread>
#include <utility>
#include <vector>

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

// Calls work(i) for 0 <= i < count, on several threads; the calling one is one of them.
template <typename Work>
void ForEach(std::size_t count, const Work& work) {
  std::atomic<std::size_t> next = 0;
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::jthread> threads(
      std::min({count, kMaxThreads, std::size_t{std::thread::hardware_concurrency()}}));
  for (std::size_t i = 1; i < threads.size(); ++i) threads[i] = std::jthread(run);
  run();
}

}  // namespace

std::string HashBytes(std::string_view bytes) {
  std::vector<Digest> digests((bytes.size() + kChunkSize - 1) / kChunkSize);
  ForEach(digests.size(),
          [&](std::size_t i) { digests[i] = Sha256(bytes.substr(i * kChunkSize, kChunkSize)); });
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

std::string HashTensors(const StateDict& state_dict,
                        const std::function<bool(std::string_view)>& counts) {
  std::map<std::string_view, const TensorView*> by_name;
  for (const auto& [name, view] : state_dict) {
    if (counts(name)) by_name.emplace(name, &view);
  }
  const std::vector<std::pair<std::string_view, const TensorView*>> tensors(by_name.begin(),
                                                                            by_name.end());
  std::vector<std::string> lines(tensors.size());
  ForEach(tensors.size(), [&](std::size_t i) {
    const auto& [name, view] = tensors[i];
    std::string scratch;
    const Digest digest = Sha256(ContiguousBytes(*view, scratch));
    lines[i] = StrCat(name, "\n", NameOf(view->dtype));
    for (const std::int64_t side : view->shape) lines[i] += StrCat(" ", side);
    lines[i] += StrCat("\n", Hex(digest), "\n");
  });
  std::string listing;
  for (const std::string& line : lines) listing += line;
  return Hex(Sha256(listing));
}

}  // namespace checkpoint
