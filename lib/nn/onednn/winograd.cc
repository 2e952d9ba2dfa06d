#include "nn/onednn/winograd.h"

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "nn/onednn/block_lanes.h"
#include "nn/onednn/target_clones.h"
#include "nn/onednn/winograd_transforms.h"

namespace nn::onednn {
namespace {

using winograd::kPatch;
using winograd::kPlaces;
using winograd::kTile;

// Output blocks that are made together: they share one pass over the input's places.
constexpr int kBlocksAtOnce = 2;
// Tiles of a group, whose places have to stay in the L2 cache from one transform to the other. With
// 192 channels their inputs are 36 · 28 · 192 floats, 0.8 MB of a 1 MiB L2. 28 is a multiple of the
// 14 tiles that MultiplyRows takes at a time on AVX-512.
constexpr int kGroup = 28;
// Input channels of which plain weights are taken to their places at a time: for two output blocks
// 36 · 64 · 32 floats, 0.3 MB of the L2 cache, which they leave when they have been multiplied.
constexpr int kChunk = 64;

// A part of Run: tiles [tile, tile + tiles) to output blocks [out_block, out_block + out_blocks).
template <typename T>
struct Job {
  const WinogradShape* shape;
  const float* weight;  // as WinogradConv keeps it
  const float* bias;
  const T* src;
  const T* residual;
  T* dst;
  float* scratch;
  int tile;
  int tiles;
  int out_block;
  int out_blocks;

  int row_of(int i) const { return (tile + i) / columns() * kTile; }
  int column_of(int i) const { return (tile + i) % columns() * kTile; }
  int columns() const { return (shape->width + kTile - 1) / kTile; }
};

// Transforms one block of one tile's input: place p goes to out[p · place_step].
template <int kBlock, typename T>
[[gnu::always_inline]] inline void TileToPlaces(const Job<T>& job, int i, int block, float* out,
                                                std::size_t place_step) {
  using F = typename Lanes<kBlock>::Float;
  const int height = job.shape->height;
  const int width = job.shape->width;
  const int top = job.row_of(i) - 1;
  const int left = job.column_of(i) - 1;
  const T* plane = job.src + static_cast<std::size_t>(block) * height * width * kBlock;
  alignas(64) T edge[kPlaces * kBlock];
  const T* from = edge;
  std::size_t row = kPatch * kBlock;
  if (top >= 0 && left >= 0 && top + kPatch <= height && left + kPatch <= width) {
    from = plane + (static_cast<std::size_t>(top) * width + left) * kBlock;
    row = static_cast<std::size_t>(width) * kBlock;
  } else {
    std::memset(static_cast<void*>(edge), 0, sizeof(edge));
    const int first = std::max(0, -left);
    const int last = std::min(kPatch, width - left);
    for (int y = std::max(0, -top); y < std::min(kPatch, height - top); ++y) {
      std::memcpy(edge + (y * kPatch + first) * kBlock,
                  plane + (static_cast<std::size_t>(top + y) * width + left + first) * kBlock,
                  sizeof(T) * (last - first) * kBlock);
    }
  }
  F columns_done[kPatch][kPatch];
#pragma GCC unroll 6
  for (int x = 0; x < kPatch; ++x) {
    F d[kPatch];
#pragma GCC unroll 6
    for (int y = 0; y < kPatch; ++y) Load<kBlock>(from + y * row + x * kBlock, d[y]);
    winograd::TransformInput<F>(d, &columns_done[0][x], kPatch);
  }
#pragma GCC unroll 6
  for (int y = 0; y < kPatch; ++y) {
    F places[kPatch];
    winograd::TransformInput<F>(columns_done[y], places, 1);
#pragma GCC unroll 6
    for (int x = 0; x < kPatch; ++x) Store<kBlock>(places[x], out + (y * kPatch + x) * place_step);
  }
}

// Transforms one block of one tile's products, of which place p is at in[p · place_step], and
// stores the output pixels: bias, activation and residual are applied on the way.
template <int kBlock, typename T>
[[gnu::always_inline]] inline void PlacesToTile(const Job<T>& job, int i, int block,
                                                const float* in, std::size_t place_step) {
  using F = typename Lanes<kBlock>::Float;
  F columns_done[kTile][kPatch];
#pragma GCC unroll 6
  for (int x = 0; x < kPatch; ++x) {
    F places[kPatch];
#pragma GCC unroll 6
    for (int y = 0; y < kPatch; ++y) Load<kBlock>(in + (y * kPatch + x) * place_step, places[y]);
    winograd::TransformOutput<F>(places, &columns_done[0][x], kPatch);
  }
  F bias;
  Load<kBlock>(job.bias + block * kBlock, bias);
  const int top = job.row_of(i);
  const int left = job.column_of(i);
  const int rows = std::min(kTile, job.shape->height - top);
  const int columns = std::min(kTile, job.shape->width - left);
  const std::size_t corner =
      ((static_cast<std::size_t>(block) * job.shape->height + top) * job.shape->width + left) *
      kBlock;
#pragma GCC unroll 4
  for (int y = 0; y < kTile; ++y) {
    if (y >= rows) break;
    F pixels[kTile];
    winograd::TransformOutput<F>(columns_done[y], pixels, 1);
    const std::size_t at = corner + static_cast<std::size_t>(y) * job.shape->width * kBlock;
#pragma GCC unroll 4
    for (int x = 0; x < kTile; ++x) {
      if (x >= columns) break;
      F value = pixels[x] + bias;
      Activate<kBlock>(job.shape->activation, value);
      if (job.residual != nullptr) {
        F residual;
        Load<kBlock>(job.residual + at + x * kBlock, residual);
        value += job.shape->residual_scale * residual;
      }
      Store<kBlock>(value, job.dst + at + x * kBlock);
    }
  }
}

// The product of one place: out[j][tile] = in[tile] · weight[j] for all tiles and output blocks, or
// that much more.
struct Product {
  const float* in;  // of the first tile
  std::size_t in_step;
  const float* weight;  // [block][channels][kBlock]
  const float* next;    // the weights after these, to be fetched meanwhile
  int channels;
  bool add;    // to what `out` holds
  float* out;  // of the first tile
  std::size_t out_step;
};

// The same for kRows tiles and kBlocks output blocks, with every sum in a register: 14 · 2 sums, 2
// weights and a factor fit into AVX-512's 32 registers, 6 · 2 sums into AVX2's 16. A channel takes
// 2 loads of weights and 14 broadcasts for 28 multiply-adds; a core has two ports for either, so
// the multiply-adds take the time. They need eight independent sums, for a latency of four cycles.
template <int kBlock, int kBlocks, int kRows>
[[gnu::always_inline]] inline void MultiplyRows(const Product& p) {
  using F = typename Lanes<kBlock>::Float;
  F sums[kBlocks][kRows] = {};
  if (p.add) {
#pragma GCC unroll 2
    for (int j = 0; j < kBlocks; ++j) {
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) Load<kBlock>(p.out + j * p.out_step + i * kBlock, sums[j][i]);
    }
  }
  for (int c = 0; c < p.channels; ++c) {
    F w[kBlocks];
#pragma GCC unroll 2
    for (int j = 0; j < kBlocks; ++j) {
      const std::size_t at = (static_cast<std::size_t>(j) * p.channels + c) * kBlock;
      Load<kBlock>(p.weight + at, w[j]);
      __builtin_prefetch(p.next + at);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const float x = p.in[i * p.in_step + c];
#pragma GCC unroll 2
      for (int j = 0; j < kBlocks; ++j) sums[j][i] += x * w[j];
    }
  }
#pragma GCC unroll 2
  for (int j = 0; j < kBlocks; ++j) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) Store<kBlock>(sums[j][i], p.out + j * p.out_step + i * kBlock);
  }
}

// The same for `rows` tiles, at most kRows.
template <int kBlock, int kBlocks, int kRows>
[[gnu::always_inline]] inline void Multiply(int rows, const Product& p) {
  if (rows == kRows) {
    MultiplyRows<kBlock, kBlocks, kRows>(p);
  } else if constexpr (kRows > 1) {
    Multiply<kBlock, kBlocks, kRows - 1>(rows, p);
  }
}

// The products of all tiles of a job with the weights of one place.
template <int kBlock>
[[gnu::always_inline]] inline void MultiplyTiles(int tiles, int blocks, Product p) {
  constexpr int kRows = kBlock == 16 ? 14 : 6;
  for (int i = 0; i < tiles; i += kRows) {
    const int rows = std::min(kRows, tiles - i);
    if (blocks == 2) {
      Multiply<kBlock, 2, kRows>(rows, p);
    } else {
      Multiply<kBlock, 1, kRows>(rows, p);
    }
    p.in += kRows * p.in_step;
    p.out += kRows * kBlock;
  }
}

// A job's scratch: input places [36][tile][channel], products [36][output block][tile][block], and
// where weights are plain those of a chunk at their places, [36][output block][channel][block].
template <int kBlock, typename T>
struct Scratch {
  explicit Scratch(const Job<T>& job)
      : in_step(job.shape->in_channels),
        in_place(job.tiles * in_step),
        out_block(static_cast<std::size_t>(job.tiles) * kBlock),
        out_place(kBlocksAtOnce * out_block),
        in(job.scratch),
        out(in + kPlaces * in_place),
        weight(out + kPlaces * out_place) {}

  std::size_t in_step, in_place, out_block, out_place;
  float *in, *out, *weight;
};

// All places of output blocks [block, block + blocks), from weights that are at their places.
template <int kBlock, typename T>
[[gnu::always_inline]] inline void MultiplyPlaces(const Job<T>& job, int block, int blocks,
                                                  const Scratch<kBlock, T>& scratch) {
  const WinogradShape& shape = *job.shape;
  const std::size_t weight_block = static_cast<std::size_t>(shape.used_channels) * kBlock;
  const std::size_t weight_place = weight_block * (shape.out_channels / kBlock);
  const int end = job.out_block + job.out_blocks;
  for (int place = 0; place < kPlaces; ++place) {
    // The weights of the next place are fetched meanwhile, a row at a time: all weights come from
    // memory once an image, in pieces too short for the hardware's prefetcher to follow.
    const int next_place = place + 1 < kPlaces ? place + 1 : 0;
    const int next_block = next_place > 0 ? block : std::min(block + kBlocksAtOnce, end - 1);
    MultiplyTiles<kBlock>(
        job.tiles, blocks,
        {.in = scratch.in + place * scratch.in_place,
         .in_step = scratch.in_step,
         .weight = job.weight + place * weight_place + block * weight_block,
         .next = job.weight + next_place * weight_place + next_block * weight_block,
         .channels = shape.used_channels,
         .add = false,
         .out = scratch.out + place * scratch.out_place,
         .out_step = scratch.out_block});
  }
}

// The 36 places of one channel's weights to one output block; place p goes to out[p · place_step].
template <int kBlock>
[[gnu::always_inline]] inline void WeightsToPlaces(const float* plain, float* out,
                                                   std::size_t place_step) {
  using F = typename Lanes<kBlock>::Float;
  F columns_done[3][kPatch];
#pragma GCC unroll 3
  for (int x = 0; x < 3; ++x) {
    F g[3];
#pragma GCC unroll 3
    for (int y = 0; y < 3; ++y) Load<kBlock>(plain + (y * 3 + x) * kBlock, g[y]);
    winograd::TransformWeight<F, float>(g, columns_done[x]);
  }
#pragma GCC unroll 6
  for (int y = 0; y < kPatch; ++y) {
    const F g[3] = {columns_done[0][y], columns_done[1][y], columns_done[2][y]};
    F places[kPatch];
    winograd::TransformWeight<F, float>(g, places);
#pragma GCC unroll 6
    for (int x = 0; x < kPatch; ++x) Store<kBlock>(places[x], out + (y * kPatch + x) * place_step);
  }
}

// The same from plain weights, a chunk of input channels after the other.
template <int kBlock, typename T>
[[gnu::always_inline]] inline void TransformAndMultiply(const Job<T>& job, int block, int blocks,
                                                        const Scratch<kBlock, T>& scratch) {
  const int channels = job.shape->used_channels;
  for (int first = 0; first < channels; first += kChunk) {
    const int count = std::min(kChunk, channels - first);
    // A line more than the weights take, so that the places of a channel lie in different sets of
    // the first-level cache.
    const std::size_t weight_place = static_cast<std::size_t>(blocks * count + 1) * kBlock;
    for (int j = 0; j < blocks; ++j) {
      const float* plain =
          job.weight + (static_cast<std::size_t>(block + j) * channels + first) * 9 * kBlock;
      for (int c = 0; c < count; ++c) {
        WeightsToPlaces<kBlock>(plain + static_cast<std::size_t>(c) * 9 * kBlock,
                                scratch.weight + (j * count + c) * kBlock, weight_place);
      }
    }
    for (int place = 0; place < kPlaces; ++place) {
      const float* weight = scratch.weight + place * weight_place;
      MultiplyTiles<kBlock>(job.tiles, blocks,
                            {.in = scratch.in + place * scratch.in_place + first,
                             .in_step = scratch.in_step,
                             .weight = weight,
                             .next = weight,
                             .channels = count,
                             .add = first > 0,
                             .out = scratch.out + place * scratch.out_place,
                             .out_step = scratch.out_block});
    }
  }
}

template <int kBlock, typename T>
[[gnu::always_inline]] inline void RunJob(const Job<T>& job) {
  const Scratch<kBlock, T> scratch(job);
  for (int i = 0; i < job.tiles; ++i) {
    for (int block = 0; block * kBlock < job.shape->used_channels; ++block) {
      TileToPlaces<kBlock>(job, i, block, scratch.in + i * scratch.in_step + block * kBlock,
                           scratch.in_place);
    }
  }
  const int end = job.out_block + job.out_blocks;
  for (int block = job.out_block; block < end; block += kBlocksAtOnce) {
    const int blocks = std::min(kBlocksAtOnce, end - block);
    if (job.shape->plain_weights) {
      TransformAndMultiply<kBlock, T>(job, block, blocks, scratch);
    } else {
      MultiplyPlaces<kBlock, T>(job, block, blocks, scratch);
    }
    for (int j = 0; j < blocks; ++j) {
      for (int i = 0; i < job.tiles; ++i) {
        PlacesToTile<kBlock>(job, i, block + j, scratch.out + j * scratch.out_block + i * kBlock,
                             scratch.out_place);
      }
    }
  }
}

DUET_TARGET("x86-64-v4") void RunBlocksOf16(const Job<float>& job) { RunJob<16>(job); }
DUET_TARGET("x86-64-v4") void RunBlocksOf16(const Job<BFloat16Bits>& job) { RunJob<16>(job); }
DUET_TARGET("x86-64-v3") void RunBlocksOf8(const Job<float>& job) { RunJob<8>(job); }
DUET_TARGET("x86-64-v3") void RunBlocksOf8(const Job<BFloat16Bits>& job) { RunJob<8>(job); }

int DivideUp(int a, int b) { return (a + b - 1) / b; }

}  // namespace

WinogradConv::WinogradConv(const WinogradShape& shape, const float* weight, const float* bias,
                           int threads)
    : shape_(shape),
      threads_(threads),
      tile_count_(DivideUp(shape.height, kTile) * DivideUp(shape.width, kTile)),
      group_count_(DivideUp(tile_count_, kGroup)),
      parts_(1),
      weight_(AllocateAligned<float>(weight_bytes() / sizeof(float))),
      bias_(AllocateAligned<float>(shape.out_channels)) {
  // Every thread gets the same number of groups, or of parts of the few that there are.
  const int out_blocks = shape.out_channels / shape.block;
  if (group_count_ >= threads) {
    group_count_ = std::min(DivideUp(group_count_, threads) * threads, tile_count_);
  } else {
    parts_ = std::min(DivideUp(threads, group_count_), DivideUp(out_blocks, kBlocksAtOnce));
  }
  group_tiles_ = DivideUp(tile_count_, group_count_);

  std::copy_n(bias, shape.out_channels, bias_.get());
  if (shape.plain_weights) {
    CopyWeights(weight);
  } else {
    TransformWeights(weight);
  }
}

bool WinogradConv::PlainWeightsPay(int height, int width) {
  return DivideUp(height, kTile) * DivideUp(width, kTile) <= kGroup;
}

void WinogradConv::CopyWeights(const float* weight) {
  const int block = shape_.block;
#pragma omp parallel for num_threads(threads_)
  for (int o = 0; o < shape_.out_channels; ++o) {
    for (int c = 0; c < shape_.used_channels; ++c) {
      const float* g = weight + (static_cast<std::size_t>(o) * shape_.in_channels + c) * 9;
      const std::size_t at = static_cast<std::size_t>(o / block) * shape_.used_channels + c;
      for (int i = 0; i < 9; ++i) weight_[(at * 9 + i) * block + o % block] = g[i];
    }
  }
}

void WinogradConv::TransformWeights(const float* weight) {
  const WinogradShape& shape = shape_;
  const std::size_t place_step = static_cast<std::size_t>(shape.out_channels) * shape.used_channels;
#pragma omp parallel for num_threads(threads_)
  for (int o = 0; o < shape.out_channels; ++o) {
    for (int c = 0; c < shape.used_channels; ++c) {
      const float* g = weight + (static_cast<std::size_t>(o) * shape.in_channels + c) * 9;
      float* out =
          weight_.get() +
          (static_cast<std::size_t>(o / shape.block) * shape.used_channels + c) * shape.block +
          o % shape.block;
      double rows[3][kPatch];
      for (int y = 0; y < 3; ++y) {
        const double row[3] = {g[3 * y], g[3 * y + 1], g[3 * y + 2]};
        winograd::TransformWeight<double, double>(row, rows[y]);
      }
      for (int x = 0; x < kPatch; ++x) {
        const double places[3] = {rows[0][x], rows[1][x], rows[2][x]};
        double column[kPatch];
        winograd::TransformWeight<double, double>(places, column);
        for (int y = 0; y < kPatch; ++y) {
          out[(y * kPatch + x) * place_step] = static_cast<float>(column[y]);
        }
      }
    }
  }
}

std::size_t WinogradConv::weight_bytes() const {
  const std::size_t of_each = shape_.plain_weights ? 9 : kPlaces;
  return sizeof(float) * of_each * shape_.out_channels * shape_.used_channels;
}

std::size_t WinogradConv::ScratchFloats() const {
  const std::size_t columns = kBlocksAtOnce * shape_.block;
  const std::size_t weights = shape_.plain_weights ? kChunk * columns + shape_.block : 0;
  return kPlaces * (group_tiles_ * (shape_.in_channels + columns) + weights);
}

std::size_t WinogradConv::scratch_bytes() const {
  return sizeof(float) * ScratchFloats() * threads_;
}

template <typename T>
void WinogradConv::Run(const T* src, const T* residual, T* dst, float* scratch) const {
  const int out_blocks = shape_.out_channels / shape_.block;
  const int part_blocks = DivideUp(DivideUp(out_blocks, parts_), kBlocksAtOnce) * kBlocksAtOnce;
#pragma omp parallel for schedule(dynamic) num_threads(threads_)
  for (int i = 0; i < group_count_ * parts_; ++i) {
    const int tile = i / parts_ * group_tiles_;
    const int block = i % parts_ * part_blocks;
    if (tile >= tile_count_ || block >= out_blocks) continue;
    const Job<T> job = {.shape = &shape_,
                        .weight = weight_.get(),
                        .bias = bias_.get(),
                        .src = src,
                        .residual = residual,
                        .dst = dst,
                        .scratch = scratch + omp_get_thread_num() * ScratchFloats(),
                        .tile = tile,
                        .tiles = std::min(group_tiles_, tile_count_ - tile),
                        .out_block = block,
                        .out_blocks = std::min(part_blocks, out_blocks - block)};
    if (shape_.block == 16) {
      RunBlocksOf16(job);
    } else {
      RunBlocksOf8(job);
    }
  }
}

template void WinogradConv::Run(const float*, const float*, float*, float*) const;
template void WinogradConv::Run(const BFloat16Bits*, const BFloat16Bits*, BFloat16Bits*,
                                float*) const;

}  // namespace nn::onednn
