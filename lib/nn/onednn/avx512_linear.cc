#include "nn/onednn/avx512_linear.h"

#include <algorithm>
#include <cstring>

#include "nn/onednn/cpu.h"
#include "nn/onednn/target_clones.h"
#include "nn/onednn/vector_math.h"

namespace nn::onednn {
namespace {

constexpr std::int64_t kVector = 16;  // floats of a register
constexpr std::int64_t kPanel = 4 * kVector;
// Rows of a tile: 6 · 4 sums, 4 weights and a factor fill 29 of the 32 registers. A step of the
// inner loop loads 4 registers of weights and broadcasts 6 numbers of x for 24 multiply-adds; a
// core has two ports for either, so 5 cycles of loads hide behind 12 of multiply-adds. The sums are
// also more than the eight that two ports with a latency of four cycles need.
constexpr std::int64_t kRows = 6;
// Rows of a panel at a time: 128 · 64 floats are 32 KiB, which an L1 cache of 48 KiB keeps while
// all tiles of a chunk pass, next to the 3 KiB of x that a tile reads.
constexpr std::int64_t kInner = 128;
// Rows of x that share one reading of the weights. A line of weights then serves 128 multiply-adds,
// 64 cycles: memory has to deliver one byte a cycle. The chunk's part of x, 128 · 128 floats, is
// 64 KiB of the L2 cache.
constexpr std::int64_t kChunk = 128;

using Vector = float __attribute__((vector_size(64)));
using Unaligned = float __attribute__((vector_size(64), aligned(4), may_alias));

// The product of a chunk of rows with a panel of weights, over a piece of the inner dimension.
struct Piece {
  const float* x;  // the chunk's first row, at the piece's beginning
  std::int64_t in;
  const float* weight;  // [inner, 16 · vectors]
  const float* next;    // the weights that come after these, to be fetched meanwhile
  const float* bias;
  float* y;
  std::int64_t out;
  std::int64_t columns;  // of y that are left; fewer than the panel's at the end of a row
  std::int64_t inner;
  bool first, last;
  Epilogue epilogue;
};

// A register's worth of a row of y, of which only the first `count` floats may exist.
[[gnu::always_inline]] inline void LoadSome(const float* p, std::int64_t count, Vector& x) {
  if (count >= kVector) {
    x = *reinterpret_cast<const Unaligned*>(p);
  } else {
    x = Vector{};
    if (count > 0) std::memcpy(&x, p, sizeof(float) * count);
  }
}
[[gnu::always_inline]] inline void StoreSome(const Vector& x, float* p, std::int64_t count) {
  if (count >= kVector) {
    *reinterpret_cast<Unaligned*>(p) = x;
  } else if (count > 0) {
    std::memcpy(p, &x, sizeof(float) * count);
  }
}

template <int kHeight, int kVectors>
[[gnu::always_inline]] inline void Tile(const Piece& piece, std::int64_t row) {
  const float* x = piece.x + row * piece.in;
  float* y = piece.y + row * piece.out;
  Vector sums[kHeight][kVectors];
  if (!piece.first || piece.epilogue == Epilogue::kAddToOutput) {
#pragma GCC unroll 6
    for (int r = 0; r < kHeight; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        LoadSome(y + r * piece.out + v * kVector, piece.columns - v * kVector, sums[r][v]);
      }
    }
  } else {
#pragma GCC unroll 6
    for (int r = 0; r < kHeight; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] = Vector{};
    }
  }
  // Each tile prefetches one line of each row of the next weights into the L2 cache; kVectors tiles
  // fetch all of them, spread over the time that this piece takes.
  const float* next = piece.next + row / kRows % kVectors * kVector;
  for (std::int64_t i = 0; i < piece.inner; ++i) {
    Vector weight[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      weight[v] = *reinterpret_cast<const Vector*>(piece.weight + (i * kVectors + v) * kVector);
    }
    __builtin_prefetch(next + i * kVectors * kVector, 0, 2);
#pragma GCC unroll 6
    for (int r = 0; r < kHeight; ++r) {
      const float factor = x[r * piece.in + i];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] += factor * weight[v];
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kHeight; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Vector& sum = sums[r][v];
      if (piece.last) {
        sum += *reinterpret_cast<const Vector*>(piece.bias + v * kVector);
        if (piece.epilogue == Epilogue::kGelu) Gelu<Vector>(sum);
      }
      StoreSome(sum, y + r * piece.out + v * kVector, piece.columns - v * kVector);
    }
  }
}

template <int kHeight, int kVectors>
[[gnu::always_inline]] inline void LastRows(const Piece& piece, std::int64_t row,
                                            std::int64_t rows) {
  if (rows == kHeight) {
    Tile<kHeight, kVectors>(piece, row);
  } else if constexpr (kHeight > 1) {
    LastRows<kHeight - 1, kVectors>(piece, row, rows);
  }
}

template <int kVectors>
DUET_TARGET("x86-64-v4")
void RunPiece(const Piece& piece, std::int64_t rows) {
  std::int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) Tile<kRows, kVectors>(piece, row);
  if (row < rows) LastRows<kRows - 1, kVectors>(piece, row, rows - row);
}

AlignedArray<float> Zeros(std::int64_t count) {
  AlignedArray<float> floats = AllocateAligned<float>(static_cast<std::size_t>(count));
  std::fill_n(floats.get(), count, 0.0F);
  return floats;
}

}  // namespace

bool Avx512Linear::Supported() { return CpuChannelBlock() == kVector; }

Avx512Linear::Avx512Linear(const float* weight, const float* bias, std::int64_t in,
                           std::int64_t out, Epilogue epilogue)
    : in_(in),
      out_(out),
      width_((out + kVector - 1) / kVector * kVector),
      epilogue_(epilogue),
      panels_(Zeros(in_ * width_)),
      bias_(Zeros(width_)) {
  if (bias != nullptr) std::copy_n(bias, out, bias_.get());
#pragma omp parallel for schedule(static)
  for (std::int64_t first = 0; first < width_; first += kPanel) {
    const std::int64_t columns = std::min(kPanel, width_ - first);
    float* panel = panels_.get() + first * in_;
    for (std::int64_t c = 0; c < std::min(columns, out_ - first); ++c) {
      for (std::int64_t i = 0; i < in_; ++i) panel[i * columns + c] = weight[(first + c) * in_ + i];
    }
  }
}

void Avx512Linear::Run(const float* x, std::int64_t rows, float* y, int threads) const {
  // Every thread gets the same number of chunks, all of about the same height.
  const std::int64_t rounds = (rows + kChunk * threads - 1) / (kChunk * threads);
  const std::int64_t chunk = (rows + rounds * threads - 1) / (rounds * threads);
  const std::int64_t pieces = (in_ + kInner - 1) / kInner;
  const std::int64_t inner = (in_ + pieces - 1) / pieces;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
  for (std::int64_t row = 0; row < rows; row += chunk) {
    const std::int64_t height = std::min(chunk, rows - row);
    for (std::int64_t first = 0; first < width_; first += kPanel) {
      const std::int64_t columns = std::min(kPanel, width_ - first);
      for (std::int64_t i = 0; i < in_; i += inner) {
        Piece piece = {.x = x + row * in_ + i,
                       .in = in_,
                       .weight = panels_.get() + first * in_ + i * columns,
                       .next = nullptr,
                       .bias = bias_.get() + first,
                       .y = y + row * out_ + first,
                       .out = out_,
                       .columns = out_ - first,
                       .inner = std::min(inner, in_ - i),
                       .first = i == 0,
                       .last = i + inner >= in_,
                       .epilogue = epilogue_};
        const bool end = piece.last && first + columns == width_;
        piece.next = end ? panels_.get() : piece.weight + piece.inner * columns;
        switch (columns / kVector) {
          case 1:
            RunPiece<1>(piece, height);
            break;
          case 2:
            RunPiece<2>(piece, height);
            break;
          case 3:
            RunPiece<3>(piece, height);
            break;
          default:
            RunPiece<4>(piece, height);
            break;
        }
      }
    }
  }
}

std::size_t Avx512Linear::weight_bytes() const { return sizeof(float) * (in_ + 1) * width_; }

}  // namespace nn::onednn
