// Arena planning: gives each buffer an offset so that buffers that are never alive together share
// memory.
#ifndef DUET_NN_ONEDNN_ARENA_H_
#define DUET_NN_ONEDNN_ARENA_H_

#include <cstddef>
#include <vector>

namespace nn::onednn {

// Alive from step `first` (written) to step `last` (read for the last time), both included.
struct BufferLife {
  std::size_t bytes;
  int first;
  int last;
};

struct ArenaPlan {
  std::vector<std::size_t> offsets;  // one per buffer, multiples of 64
  std::size_t bytes = 0;
};

// Largest first, each at the lowest offset that is free for its whole life.
ArenaPlan PlanArena(const std::vector<BufferLife>& buffers);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_ARENA_H_
