#include "nn/onednn/rowwise.h"

#include <bit>
#include <cmath>
#include <limits>

// Each function below exists once per level; on other processors, once.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DUET_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DUET_CLONES
#endif

namespace nn::onednn {
namespace {

[[gnu::always_inline]] inline float AsFloat(std::int32_t bits) {
  return std::bit_cast<float>(bits);
}

// exp for x <= 0, relative error below 2e-7: 2^n · P(r) with x = n ln 2 + r, |r| <= ln 2 / 2; P is
// the Taylor polynomial of degree 6. Below -87 the result is 0 to within the smallest normal float.
[[gnu::always_inline]] inline float ExpOfNonPositive(float x) {
  x = x < -87.0F ? -87.0F : x;
  const float shifted = x * 1.44269504F + 12582912.0F;  // 1.5 · 2^23: rounds to an integer
  const float n = shifted - 12582912.0F;
  const float r =
      (x - n * 0.693359375F) + n * 2.12194440e-4F;  // ln 2 in two parts (Cody and Waite)
  float p = 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const auto exponent =
      std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(12582912.0F);
  return p * AsFloat((exponent + 127) << 23);
}

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
  float sum = 0;
  const std::int64_t count = side * side;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) {
    const float e = ExpOfNonPositive(scores[i] - largest);
    sum += e;
    Store(e, &output[i]);
  }
  return sum;
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

}  // namespace nn::onednn
