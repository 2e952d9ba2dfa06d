// Memory that begins at a multiple of 64 bytes: a cache line and an AVX-512 register.
#ifndef DUET_NN_ONEDNN_ALIGNED_H_
#define DUET_NN_ONEDNN_ALIGNED_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

namespace nn::onednn {

struct AlignedFree {
  void operator()(void* p) const { ::operator delete[](p, std::align_val_t{64}); }
};

// T: a number, or std::byte.
template <typename T>
using AlignedArray = std::unique_ptr<T[], AlignedFree>;

// Not set to anything; `count` may be 0.
template <typename T>
AlignedArray<T> AllocateAligned(std::size_t count) {
  return AlignedArray<T>(static_cast<T*>(
      ::operator new[](std::max<std::size_t>(sizeof(T) * count, 64), std::align_val_t{64})));
}

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_ALIGNED_H_
