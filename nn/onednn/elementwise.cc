#include "nn/onednn/elementwise.h"

#include <cstring>

namespace nn::onednn {
template <typename T>
void Upsample2x(const T* src, const BlockedShape& shape, T* dst) {
  const int rows = shape.blocks * shape.height;
  const std::int64_t row = static_cast<std::int64_t>(shape.width) * shape.block;
  const std::size_t pixel_bytes = sizeof(T) * shape.block;
#pragma omp parallel for schedule(static)
  for (int r = 0; r < rows; ++r) {
    const T* from = src + r * row;
    T* to = dst + 4 * r * row;
    for (int x = 0; x < shape.width; ++x) {
      std::memcpy(to + (2 * x) * shape.block, from + x * shape.block, pixel_bytes);
      std::memcpy(to + (2 * x + 1) * shape.block, from + x * shape.block, pixel_bytes);
    }
    std::memcpy(to + 2 * row, to, 2 * row * sizeof(T));
  }
}

template <typename T>
void AddInPlace(const T* src, std::int64_t count, T* dst) {
#pragma omp parallel for simd schedule(static)
  for (std::int64_t i = 0; i < count; ++i) Store(ToFloat(dst[i]) + ToFloat(src[i]), &dst[i]);
}

template <typename T>
void MeanOverPixels(const T* src, const BlockedShape& shape, float* mean) {
  const std::int64_t pixels = static_cast<std::int64_t>(shape.height) * shape.width;
#pragma omp parallel for schedule(static)
  for (int b = 0; b < shape.blocks; ++b) {
    // Per row first: a running float sum over a whole 160² plane would lose three digits.
    double total[16] = {};
    const T* p = src + b * pixels * shape.block;
    for (int y = 0; y < shape.height; ++y) {
      float sum[16] = {};
      for (int x = 0; x < shape.width; ++x, p += shape.block) {
        for (int c = 0; c < shape.block; ++c) sum[c] += ToFloat(p[c]);
      }
      for (int c = 0; c < shape.block; ++c) total[c] += sum[c];
    }
    for (int c = 0; c < shape.block; ++c) {
      mean[b * shape.block + c] = static_cast<float>(total[c] / static_cast<double>(pixels));
    }
  }
}

template <typename T>
void ScaleChannels(const T* src, const BlockedShape& shape, const float* gate, T* dst) {
  const std::int64_t pixels = static_cast<std::int64_t>(shape.height) * shape.width;
  const int rows = shape.blocks * shape.height;
#pragma omp parallel for schedule(static)
  for (int r = 0; r < rows; ++r) {
    const int b = r / shape.height;
    const float* g = gate + b * shape.block;
    const std::int64_t start = (b * pixels + (r % shape.height) * shape.width) * shape.block;
    for (int x = 0; x < shape.width; ++x) {
      const T* from = src + start + x * shape.block;
      T* to = dst + start + x * shape.block;
      for (int c = 0; c < shape.block; ++c) Store(ToFloat(from[c]) * g[c], &to[c]);
    }
  }
}

template void Upsample2x(const float*, const BlockedShape&, float*);
template void Upsample2x(const BFloat16Bits*, const BlockedShape&, BFloat16Bits*);
template void AddInPlace(const float*, std::int64_t, float*);
template void AddInPlace(const BFloat16Bits*, std::int64_t, BFloat16Bits*);
template void MeanOverPixels(const float*, const BlockedShape&, float*);
template void MeanOverPixels(const BFloat16Bits*, const BlockedShape&, float*);
template void ScaleChannels(const float*, const BlockedShape&, const float*, float*);
template void ScaleChannels(const BFloat16Bits*, const BlockedShape&, const float*, BFloat16Bits*);

}  // namespace nn::onednn
