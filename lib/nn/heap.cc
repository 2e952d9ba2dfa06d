#include "nn/heap.h"

#include <malloc.h>

#include <limits>

namespace nn {

void KeepFreedMemory() {
  constexpr int kGrowBy = 64 << 20;
  // Heaps of other threads than the first are of 64 MB and are given back when they are empty.
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_MAX, 0);  // all blocks are the heap's, however large
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, kGrowBy);
}

}  // namespace nn
