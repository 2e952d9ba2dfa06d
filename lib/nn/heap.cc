#include "nn/heap.h"

#include <malloc.h>

#include <limits>

namespace nn {

void KeepFreedMemory() {
  constexpr int kGrowBy = 64 << 20;
  mallopt(M_MMAP_MAX, 0);  // all blocks are the heap's, however large
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, kGrowBy);
}

}  // namespace nn
