#include "trainer/augment/image_order.h"

#include <numeric>
#include <utility>

#include "hash/fnv.h"

namespace trainer {
namespace {

// A window of this many numbers, which is more than any recipe looks back, should find its epochs.
constexpr std::size_t kWindow = 64;

}  // namespace

Random RandomFor(std::uint64_t seed, const char* purpose, std::uint64_t n, std::uint64_t attempt) {
  const std::uint64_t sequence = Random(hash::Fnv1a(purpose) ^ seed).Next();
  return Random(Random(Random(sequence ^ n).Next() ^ attempt).Next());
}

std::size_t ImageOrder::At(std::uint64_t n) const {
  return (*Epoch(n / size_))[static_cast<std::size_t>(n % size_)];
}

ImageOrder::Shuffled ImageOrder::Epoch(std::uint64_t epoch) const {
  const std::lock_guard lock(mutex_);
  Shuffled& kept = epochs_[epoch];
  if (kept != nullptr) return kept;
  auto indices = std::make_shared<std::vector<std::uint32_t>>(size_);
  std::iota(indices->begin(), indices->end(), 0U);
  // Fisher and Yates.
  Random random = RandomFor(seed_, "order", epoch, 0);
  for (std::size_t i = size_ - 1; i > 0; --i) {
    std::swap((*indices)[i], (*indices)[static_cast<std::size_t>(random.Next() % (i + 1))]);
  }
  kept = std::move(indices);
  const Shuffled result = kept;
  // Those farthest back are needed least.
  if (epochs_.size() > kWindow / size_ + 3) epochs_.erase(epochs_.begin());
  return result;
}

}  // namespace trainer
