#include "nn/onednn/depthwise.h"

#include "nn/onednn/target_clones.h"
#include "nn/onednn/vector_math.h"

namespace nn::onednn {
namespace {

// One output pixel; `taps`: the nine input pixels around it.
template <bool kGelu, typename T>
[[gnu::always_inline]] inline void Pixel(const T* const* taps, const float* weight,
                                         const float* bias, std::int64_t channels, T* output) {
  const T *a = taps[0], *b = taps[1], *c = taps[2], *d = taps[3], *e = taps[4], *f = taps[5],
          *g = taps[6], *h = taps[7], *i = taps[8];
#pragma omp simd
  for (std::int64_t n = 0; n < channels; ++n) {
    const float* w = weight + n;
    float sum = bias[n];
    sum += w[0] * ToFloat(a[n]);
    sum += w[channels] * ToFloat(b[n]);
    sum += w[2 * channels] * ToFloat(c[n]);
    sum += w[3 * channels] * ToFloat(d[n]);
    sum += w[4 * channels] * ToFloat(e[n]);
    sum += w[5 * channels] * ToFloat(f[n]);
    sum += w[6 * channels] * ToFloat(g[n]);
    sum += w[7 * channels] * ToFloat(h[n]);
    sum += w[8 * channels] * ToFloat(i[n]);
    Store(kGelu ? Gelu(sum) : sum, &output[n]);
  }
}

template <bool kGelu, typename T>
[[gnu::always_inline]] inline void Pixels(const T* const* rows, const T* zeros, std::int64_t width,
                                          std::int64_t stride, const float* weight,
                                          const float* bias, std::int64_t channels, T* output) {
  for (std::int64_t x = 0; x < width; x += stride) {
    const T* taps[9];
    for (int y = 0; y < 3; ++y) {
      for (int dx = -1; dx <= 1; ++dx) {
        const bool inside = rows[y] != nullptr && x + dx >= 0 && x + dx < width;
        taps[3 * y + dx + 1] = inside ? rows[y] + (x + dx) * channels : zeros;
      }
    }
    Pixel<kGelu>(taps, weight, bias, channels, output);
    output += channels;
  }
}

DUET_CLONES void RowOf(bool gelu, const float* const* rows, const float* zeros, std::int64_t width,
                       std::int64_t stride, const float* weight, const float* bias,
                       std::int64_t channels, float* output) {
  if (gelu) {
    Pixels<true>(rows, zeros, width, stride, weight, bias, channels, output);
  } else {
    Pixels<false>(rows, zeros, width, stride, weight, bias, channels, output);
  }
}

DUET_CLONES void RowOf(bool gelu, const BFloat16Bits* const* rows, const BFloat16Bits* zeros,
                       std::int64_t width, std::int64_t stride, const float* weight,
                       const float* bias, std::int64_t channels, BFloat16Bits* output) {
  if (gelu) {
    Pixels<true>(rows, zeros, width, stride, weight, bias, channels, output);
  } else {
    Pixels<false>(rows, zeros, width, stride, weight, bias, channels, output);
  }
}

}  // namespace

Depthwise3x3::Depthwise3x3(const at::Tensor& weight, const at::Tensor& bias, std::int64_t stride,
                           bool gelu)
    : channels_(weight.size(0)), stride_(stride), gelu_(gelu) {
  const at::Tensor by_tap = weight.detach().to(at::kFloat).flatten(1).t().contiguous();
  weight_.assign(by_tap.data_ptr<float>(), by_tap.data_ptr<float>() + by_tap.numel());
  const at::Tensor plain = bias.detach().to(at::kFloat).contiguous();
  bias_.assign(plain.data_ptr<float>(), plain.data_ptr<float>() + plain.numel());
}

template <typename T>
void Depthwise3x3::Row(const T* above, const T* here, const T* below, std::int64_t width,
                       T* output) const {
  thread_local std::vector<T> zeros;
  zeros.resize(channels_);  // never written, so zero
  const T* const rows[3] = {above, here, below};
  RowOf(gelu_, rows, zeros.data(), width, stride_, weight_.data(), bias_.data(), channels_, output);
}

template void Depthwise3x3::Row(const float*, const float*, const float*, std::int64_t,
                                float*) const;
template void Depthwise3x3::Row(const BFloat16Bits*, const BFloat16Bits*, const BFloat16Bits*,
                                std::int64_t, BFloat16Bits*) const;

}  // namespace nn::onednn
