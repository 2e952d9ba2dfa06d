// In which order a training sees its images: all of them once an epoch, shuffled anew each time. A
// function of the seed alone, so that a training can go on at any image. Internal to augment.
#ifndef DUET_TRAINER_AUGMENT_IMAGE_ORDER_H_
#define DUET_TRAINER_AUGMENT_IMAGE_ORDER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "trainer/scenes/random.h"

namespace trainer {

// A source of numbers for one purpose and one image: sequences of different purposes have nothing
// to do with each other.
Random RandomFor(std::uint64_t seed, const char* purpose, std::uint64_t n, std::uint64_t attempt);

// Thread-safe.
class ImageOrder {
 public:
  // REQUIRES: size > 0.
  ImageOrder(std::size_t size, std::uint64_t seed) : size_(size), seed_(seed) {}

  // The index of the n-th image of the training; epoch e has those from e · size on.
  std::size_t At(std::uint64_t n) const;

 private:
  using Shuffled = std::shared_ptr<const std::vector<std::uint32_t>>;
  Shuffled Epoch(std::uint64_t epoch) const;

  const std::size_t size_;
  const std::uint64_t seed_;
  mutable std::mutex mutex_;
  mutable std::map<std::uint64_t, Shuffled> epochs_;  // those used last; guarded by mutex_
};

}  // namespace trainer

#endif  // DUET_TRAINER_AUGMENT_IMAGE_ORDER_H_
