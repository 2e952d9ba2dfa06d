#include "nn/onednn/rowwise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "nn/onednn/target_clones.h"
#include "nn/onednn/vector_math.h"

namespace nn::onednn {
namespace {

// Three passes over a row of a few kilobytes, which stays in the L1 cache between them. A one-pass
// variance (mean of squares minus squared mean) would cancel digits that float32 doesn't have.
template <typename T>
[[gnu::always_inline]] inline void LayerNorm(const float* x, const float* weight, const float* bias,
                                             float eps, std::int64_t count, T* output) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += x[i];
  const float mean = sum / static_cast<float>(count);
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::int64_t i = 0; i < count; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const float scale = 1.0F / std::sqrt(squares / static_cast<float>(count) + eps);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    Store((x[i] - mean) * scale * weight[i] + bias[i], &output[i]);
  }
}

// One AVX-512 register; below AVX-512 the compiler makes two or four of it.
constexpr std::int64_t kLanes = 16;
using Lanes = float __attribute__((vector_size(4 * kLanes)));
using LanesInMemory = float __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
using IntLanes = std::int32_t __attribute__((vector_size(4 * kLanes)));
using BitLanes = std::uint32_t __attribute__((vector_size(4 * kLanes)));
using HalfLanesInMemory =
    std::uint16_t __attribute__((vector_size(2 * kLanes), aligned(2), may_alias));

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// The last scores of a row may be fewer than a register holds. All of the register is loaded and
// stored then, and the lanes behind the row are stored as they were.
constexpr IntLanes kPlaces = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

[[gnu::always_inline]] inline void Load(const float* p, Lanes& x) {
  x = *reinterpret_cast<const LanesInMemory*>(p);
}

// Lanes from `count` on become `rest`.
[[gnu::always_inline]] inline void Limit(std::int64_t count, float rest, Lanes& x) {
  if (count >= kLanes) return;
  const Lanes others = Lanes{} + rest;
  x = kPlaces < static_cast<std::int32_t>(count) ? x : others;
}

// Stores the first `count` lanes of `x`. `before` is what was loaded from `p`: loading it again for
// the other lanes would have to wait until an earlier store that covers a part of it has left the
// store buffer, since only a store that covers the whole load can be forwarded from there.
[[gnu::always_inline]] inline void StoreLanes(const Lanes& x, std::int64_t count,
                                              const Lanes& before, float* p) {
  auto* to = reinterpret_cast<LanesInMemory*>(p);
  if (count >= kLanes) {
    *to = x;
  } else {
    *to = kPlaces < static_cast<std::int32_t>(count) ? x : before;
  }
}

// Rounds to nearest with ties away from zero, in three instructions less than Store of bfloat16.h
// takes for ties to even. Always stores all lanes.
[[gnu::always_inline]] inline void StoreLanes(const Lanes& x, std::int64_t, const Lanes&,
                                              BFloat16Bits* p) {
  BitLanes bits;
  std::memcpy(&bits, &x, sizeof(bits));
  *reinterpret_cast<HalfLanesInMemory*>(p) =
      __builtin_convertvector((bits + 0x8000) >> 16, HalfLanesInMemory);
}

[[gnu::always_inline]] inline void Max(const Lanes& x, Lanes& largest) {
  largest = x > largest ? x : largest;
}

// All lanes of `x` combined into one: the upper half meets the lower, four times. Overwrites `x`.
template <typename Combine>
[[gnu::always_inline]] inline float Reduce(Lanes& x, const Combine& combine) {
  combine(__builtin_shuffle(x, (kPlaces + 8) & 15), x);
  combine(__builtin_shuffle(x, (kPlaces + 4) & 15), x);
  combine(__builtin_shuffle(x, (kPlaces + 2) & 15), x);
  combine(__builtin_shuffle(x, (kPlaces + 1) & 15), x);
  return x[0];
}

struct Larger {
  [[gnu::always_inline]] void operator()(const Lanes& x, Lanes& largest) const { Max(x, largest); }
};
struct Sum {
  [[gnu::always_inline]] void operator()(const Lanes& x, Lanes& sum) const { sum += x; }
};

// output = exp(scores - largest); see SoftmaxRow. `largest` is that of these scores.
//
// Arithmetic sets the pace, not memory: an exponential takes some 16 vector instructions a
// register, next to one load and one store. Registers are loaded at the same places where the
// scores were stored, and each before the one before it is stored: a load that overlaps a recent
// store in part would wait for it (StoreLanes).
template <typename T>
[[gnu::always_inline]] inline float Exponentials(const float* scores, std::int64_t height,
                                                 std::int64_t width, float largest,
                                                 SoftmaxState* state, T* output) {
  largest = largest > state->largest ? largest : state->largest;
  const float factor = state->sum == 0 ? 0 : Exp(state->largest - largest);
  Lanes sums = {};
  Lanes next;
  Load(scores, next);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; x += kLanes) {
      const std::int64_t at = y * width + x;
      const Lanes before = next;
      Load(scores + at + std::min(kLanes, width - x), next);
      Lanes e = before - largest;
      Limit(width - x, kMinusInfinity, e);
      if constexpr (std::is_same_v<T, float>) {
        ExpOfNonPositive<Lanes, IntLanes>(e);
      } else {
        RoughExpOfNonPositive<Lanes, BitLanes>(e);
      }
      sums += e;
      StoreLanes(e, width - x, before, output + at);
    }
  }
  state->sum = state->sum * factor + Reduce(sums, Sum());
  state->largest = largest;
  return factor;
}

// `part` is passed by value, here and below, so that no store to the scores can change it.
template <typename T>
[[gnu::always_inline]] inline float Softmax(GridScores part, SoftmaxState* state, T* output) {
  const auto [scores, height, width, scale, bias_y, bias_x] = part;
  Lanes largest = Lanes{} + kMinusInfinity;
  Lanes next;
  Load(scores, next);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; x += kLanes) {
      float* at = scores + y * width + x;
      const Lanes before = next;
      Lanes bias;
      Load(at + std::min(kLanes, width - x), next);
      Load(bias_x + x, bias);
      Lanes z = before * scale + (bias + bias_y[y]);
      StoreLanes(z, width - x, before, at);
      Limit(width - x, kMinusInfinity, z);
      Max(z, largest);
    }
  }
  return Exponentials(scores, height, width, Reduce(largest, Larger()), state, output);
}

template <typename T>
[[gnu::always_inline]] inline float Softmax(RowScores part, SoftmaxState* state, T* output) {
  const auto [scores, count, scale, bias] = part;
  Lanes largest = Lanes{} + kMinusInfinity;
  for (std::int64_t i = 0; i < count; i += kLanes) {
    Lanes before, addend = {};
    Load(scores + i, before);
    if (bias != nullptr) Load(bias + i, addend);
    Lanes z = before * scale + addend;
    StoreLanes(z, count - i, before, scores + i);
    Limit(count - i, kMinusInfinity, z);
    Max(z, largest);
  }
  return Exponentials(scores, /*height=*/1, count, Reduce(largest, Larger()), state, output);
}

}  // namespace

DUET_CLONES void LayerNormRow(const float* x, const float* weight, const float* bias, float eps,
                              std::int64_t count, float* output) {
  LayerNorm(x, weight, bias, eps, count, output);
}

DUET_CLONES void LayerNormRow(const float* x, const float* weight, const float* bias, float eps,
                              std::int64_t count, BFloat16Bits* output) {
  LayerNorm(x, weight, bias, eps, count, output);
}

DUET_CLONES float SoftmaxRow(const GridScores& part, SoftmaxState* state, float* output) {
  return Softmax(part, state, output);
}

DUET_CLONES float SoftmaxRow(const GridScores& part, SoftmaxState* state, BFloat16Bits* output) {
  return Softmax(part, state, output);
}

DUET_CLONES float SoftmaxRow(const RowScores& part, SoftmaxState* state, float* output) {
  return Softmax(part, state, output);
}

DUET_CLONES float SoftmaxRow(const RowScores& part, SoftmaxState* state, BFloat16Bits* output) {
  return Softmax(part, state, output);
}

DUET_CLONES void RunningSoftmax(std::int64_t rows, std::int64_t columns, float* scores,
                                float* largest, float* sum, float* factor) {
  for (std::int64_t c = 0; c < columns; ++c) factor[c] = largest[c];
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* row = scores + r * columns;
#pragma omp simd
    for (std::int64_t c = 0; c < columns; ++c)
      largest[c] = row[c] > largest[c] ? row[c] : largest[c];
  }
#pragma omp simd
  for (std::int64_t c = 0; c < columns; ++c) {
    factor[c] = Exp(factor[c] - largest[c]);
    sum[c] *= factor[c];
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    float* row = scores + r * columns;
#pragma omp simd
    for (std::int64_t c = 0; c < columns; ++c) {
      row[c] = Exp(row[c] - largest[c]);
      sum[c] += row[c];
    }
  }
}

DUET_CLONES void SoftmaxOverGroups(std::int64_t rows, std::int64_t groups, std::int64_t stride,
                                   float* scores) {
  using Lanes = float __attribute__((vector_size(4 * kSoftmaxLanes), aligned(4), may_alias));
  for (std::int64_t r = 0; r < rows; ++r) {
    float* row = scores + r * stride;
    auto* group = reinterpret_cast<Lanes*>(row);
    Lanes largest = group[0], sum = {};
    for (std::int64_t g = 1; g < groups; ++g) largest = group[g] > largest ? group[g] : largest;
    for (std::int64_t g = 0; g < groups; ++g) group[g] -= largest;
#pragma omp simd
    for (std::int64_t i = 0; i < groups * kSoftmaxLanes; ++i) row[i] = Exp(row[i]);
    for (std::int64_t g = 0; g < groups; ++g) sum += group[g];
    const Lanes inverse = 1.0F / sum;
    for (std::int64_t g = 0; g < groups; ++g) group[g] *= inverse;
  }
}

DUET_CLONES void AddRow(std::int64_t count, const float* a, const float* b, float* sum) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) sum[i] = a[i] + b[i];
}

DUET_CLONES void GeluRow(std::int64_t count, float* x) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) x[i] = Gelu(x[i]);
}

}  // namespace nn::onednn
