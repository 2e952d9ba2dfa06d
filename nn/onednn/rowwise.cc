#include "nn/onednn/rowwise.h"

#include <cmath>
#include <limits>
#include <type_traits>

#include "nn/onednn/target_clones.h"
#include "nn/onednn/vector_math.h"

namespace nn::onednn {
namespace {

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

// output = exp(scores - largest); returns its sum.
template <typename T>
[[gnu::always_inline]] inline float Exponentials(const float* scores, std::int64_t count,
                                                 float largest, T* output) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) {
    const float e = std::is_same_v<T, float> ? Exp(scores[i] - largest)
                                             : RoughExpOfNonPositive(scores[i] - largest);
    sum += e;
    StoreFast(e, &output[i]);
  }
  return sum;
}

template <typename T>
[[gnu::always_inline]] inline float Softmax(float* scores, std::int64_t side, float scale,
                                            const float* bias_y, const float* bias_x, T* output) {
  float largest = -std::numeric_limits<float>::infinity();
  for (std::int64_t y = 0; y < side; ++y) {
    float* row = scores + y * side;
    const float by = bias_y[y];
#pragma omp simd reduction(max : largest)
    for (std::int64_t x = 0; x < side; ++x) {
      const float z = row[x] * scale + (by + bias_x[x]);
      row[x] = z;
      largest = z > largest ? z : largest;
    }
  }
  return Exponentials(scores, side * side, largest, output);
}

template <typename T>
[[gnu::always_inline]] inline float DenseSoftmax(float* scores, std::int64_t count, float scale,
                                                 const float* bias, T* output) {
  float largest = -std::numeric_limits<float>::infinity();
  if (bias == nullptr) {
#pragma omp simd reduction(max : largest)
    for (std::int64_t i = 0; i < count; ++i) {
      scores[i] *= scale;
      largest = scores[i] > largest ? scores[i] : largest;
    }
  } else {
#pragma omp simd reduction(max : largest)
    for (std::int64_t i = 0; i < count; ++i) {
      scores[i] = scores[i] * scale + bias[i];
      largest = scores[i] > largest ? scores[i] : largest;
    }
  }
  return Exponentials(scores, count, largest, output);
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

DUET_CLONES float SoftmaxRow(float* scores, std::int64_t side, float scale, const float* bias_y,
                             const float* bias_x, float* output) {
  return Softmax(scores, side, scale, bias_y, bias_x, output);
}

DUET_CLONES float SoftmaxRow(float* scores, std::int64_t side, float scale, const float* bias_y,
                             const float* bias_x, BFloat16Bits* output) {
  return Softmax(scores, side, scale, bias_y, bias_x, output);
}

DUET_CLONES float SoftmaxRow(float* scores, std::int64_t count, float scale, const float* bias,
                             float* output) {
  return DenseSoftmax(scores, count, scale, bias, output);
}

DUET_CLONES float SoftmaxRow(float* scores, std::int64_t count, float scale, const float* bias,
                             BFloat16Bits* output) {
  return DenseSoftmax(scores, count, scale, bias, output);
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

DUET_CLONES void GeluRow(std::int64_t count, float* x) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) x[i] = Gelu(x[i]);
}

}  // namespace nn::onednn
