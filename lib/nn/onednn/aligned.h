// Memory that begins at a multiple of 64 bytes: a cache line, an AVX-512 register and a row of an
// AMX tile. Products of matrices that begin anywhere else take up to twice as long on tiles, since
// each row that they load lies in two lines; malloc's large blocks begin 16 bytes after one.
#ifndef DUET_NN_ONEDNN_ALIGNED_H_
#define DUET_NN_ONEDNN_ALIGNED_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <vector>

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

template <typename T>
struct AlignedAllocator {
  using value_type = T;

  AlignedAllocator() = default;
  template <typename U>
  AlignedAllocator(const AlignedAllocator<U>&) {}

  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new (sizeof(T) * count, std::align_val_t{64}));
  }
  void deallocate(T* p, std::size_t) { ::operator delete (p, std::align_val_t{64}); }
  friend bool operator==(const AlignedAllocator&, const AlignedAllocator&) { return true; }
};

// A vector of numbers that matrix products read or write.
template <typename T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_ALIGNED_H_
