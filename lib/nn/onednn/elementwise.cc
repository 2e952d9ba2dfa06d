#include "nn/onednn/elementwise.h"

#include <algorithm>
#include <cstring>
#include <vector>

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

namespace {

// An output coordinate is (1 - fraction) * in[low] + fraction * in[high].
struct Sample {
  int low, high;
  float fraction;
};

std::vector<Sample> BilinearSamples(int in, int factor) {
  std::vector<Sample> samples(static_cast<std::size_t>(in) * factor);
  for (int i = 0; i < in * factor; ++i) {
    const float source =
        std::max(0.0F, (static_cast<float>(i) + 0.5F) / static_cast<float>(factor) - 0.5F);
    const int low = static_cast<int>(source);
    samples[i] = {low, std::min(low + 1, in - 1), source - static_cast<float>(low)};
  }
  return samples;
}

}  // namespace

template <typename T>
void UpsampleBilinear(const T* src, const BlockedShape& shape, int factor, T* dst) {
  const std::vector<Sample> columns = BilinearSamples(shape.width, factor);
  const std::vector<Sample> rows = BilinearSamples(shape.height, factor);
  const int out_height = shape.height * factor;
  const std::int64_t row = static_cast<std::int64_t>(shape.width) * shape.block;
#pragma omp parallel for schedule(static)
  for (int r = 0; r < shape.blocks * out_height; ++r) {
    const Sample& y = rows[r % out_height];
    const T* plane = src + r / out_height * shape.height * row;
    const T* low = plane + y.low * row;
    const T* high = plane + y.high * row;
    T* to = dst + r * factor * row;
    for (const Sample& x : columns) {
      const T* corners[4] = {low + x.low * shape.block, low + x.high * shape.block,
                             high + x.low * shape.block, high + x.high * shape.block};
      for (int c = 0; c < shape.block; ++c, ++to) {
        const float upper =
            (1 - x.fraction) * ToFloat(corners[0][c]) + x.fraction * ToFloat(corners[1][c]);
        const float lower =
            (1 - x.fraction) * ToFloat(corners[2][c]) + x.fraction * ToFloat(corners[3][c]);
        Store((1 - y.fraction) * upper + y.fraction * lower, to);
      }
    }
  }
}

template <typename T>
void Interleave2x(const std::array<const T*, 4>& sources, const BlockedShape& shape, T* dst) {
  const int rows = shape.blocks * shape.height;
  const std::int64_t row = static_cast<std::int64_t>(shape.width) * shape.block;
  const std::size_t pixel_bytes = sizeof(T) * shape.block;
#pragma omp parallel for schedule(static)
  for (int r = 0; r < 2 * rows; ++r) {  // of dst
    const T* left = sources[2 * (r % 2)] + r / 2 * row;
    const T* right = sources[2 * (r % 2) + 1] + r / 2 * row;
    T* to = dst + 2 * r * row;
    for (int x = 0; x < shape.width; ++x) {
      std::memcpy(to + (2 * x) * shape.block, left + x * shape.block, pixel_bytes);
      std::memcpy(to + (2 * x + 1) * shape.block, right + x * shape.block, pixel_bytes);
    }
  }
}

template <typename T>
void ConcatPixels(const std::vector<PixelRun<T>>& runs, const BlockedShape& shape, T* dst) {
  const std::int64_t pixels = static_cast<std::int64_t>(shape.height) * shape.width;
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < pixels; ++i) {
    T* to = dst + i * shape.block;
    for (const PixelRun<T>& run : runs) {
      std::memcpy(to, run.pixels + i * run.channels, sizeof(T) * run.channels);
      to += run.channels;
    }
  }
}

template <typename T>
void MeanOverPixels(const T* src, const BlockedShape& shape, float* mean) {
  constexpr int kTogether = 64;  // channels, of one block
  const std::int64_t pixels = static_cast<std::int64_t>(shape.height) * shape.width;
  const int channels = shape.blocks * shape.block, step = std::min(kTogether, shape.block);
#pragma omp parallel for schedule(static)
  for (int first = 0; first < channels; first += step) {
    const int in_block = first % shape.block, count = std::min(step, shape.block - in_block);
    // Per row first: a running float sum over a whole 160² plane would lose three digits.
    double total[kTogether] = {};
    const T* p = src + (first - in_block) * pixels + in_block;
    for (int y = 0; y < shape.height; ++y) {
      float sum[kTogether] = {};
      for (int x = 0; x < shape.width; ++x, p += shape.block) {
        for (int c = 0; c < count; ++c) sum[c] += ToFloat(p[c]);
      }
      for (int c = 0; c < count; ++c) total[c] += sum[c];
    }
    for (int c = 0; c < count; ++c) {
      mean[first + c] = static_cast<float>(total[c] / static_cast<double>(pixels));
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
template void Interleave2x(const std::array<const float*, 4>&, const BlockedShape&, float*);
template void Interleave2x(const std::array<const BFloat16Bits*, 4>&, const BlockedShape&,
                           BFloat16Bits*);
template void ConcatPixels(const std::vector<PixelRun<float>>&, const BlockedShape&, float*);
template void ConcatPixels(const std::vector<PixelRun<BFloat16Bits>>&, const BlockedShape&,
                           BFloat16Bits*);
template void UpsampleBilinear(const float*, const BlockedShape&, int, float*);
template void UpsampleBilinear(const BFloat16Bits*, const BlockedShape&, int, BFloat16Bits*);
template void MeanOverPixels(const float*, const BlockedShape&, float*);
template void MeanOverPixels(const BFloat16Bits*, const BlockedShape&, float*);
template void ScaleChannels(const float*, const BlockedShape&, const float*, float*);
template void ScaleChannels(const BFloat16Bits*, const BlockedShape&, const float*, BFloat16Bits*);

}  // namespace nn::onednn
