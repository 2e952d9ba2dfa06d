#include "checkpoint/content_hash.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "hash/sha256.h"
#include "text/str_cat.h"

namespace checkpoint {
namespace {

using text::StrCat;

constexpr std::size_t kChunkSize = std::size_t{8} << 20;
constexpr std::size_t kMaxThreads = 8;

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
  std::vector<hash::Sha256Digest> digests((bytes.size() + kChunkSize - 1) / kChunkSize);
  ForEach(digests.size(), [&](std::size_t i) {
    digests[i] = hash::Sha256(bytes.substr(i * kChunkSize, kChunkSize));
  });
  hash::Sha256Hasher all;
  for (const hash::Sha256Digest& digest : digests) all.Update(hash::AsBytes(digest));
  return hash::Hex(all.Finish());
}

std::string HashZip(std::string_view file, const std::vector<ZipEntry>& entries) {
  hash::Sha256Hasher listing;
  for (const ZipEntry& entry : entries) {
    if (entry.crc32 == 0 && entry.size > 0) return HashBytes(file);
    const std::string_view name = entry.name.substr(entry.name.find('/') + 1);
    listing.Update(StrCat(name, "\n", entry.size, "\n", entry.crc32, "\n"));
  }
  return hash::Hex(listing.Finish());
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
    const std::string digest = hash::Sha256Hex(ContiguousBytes(*view, scratch));
    lines[i] = StrCat(name, "\n", NameOf(view->dtype));
    for (const std::int64_t side : view->shape) lines[i] += StrCat(" ", side);
    lines[i] += StrCat("\n", digest, "\n");
  });
  hash::Sha256Hasher listing;
  for (const std::string& line : lines) listing.Update(line);
  return hash::Hex(listing.Finish());
}

}  // namespace checkpoint
