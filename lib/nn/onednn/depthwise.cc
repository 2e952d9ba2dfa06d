#include "nn/onednn/depthwise.h"

#include "nn/onednn/target_clones.h"
#include "nn/onednn/vector_math.h"

namespace nn::onednn {
namespace {

// One row of the output: what it is made from and where it goes.
template <typename T>
struct RowTask {
  const T* rows[3];  // of the input, null outside of the map
  const T* zeros;    // a pixel outside of the map
  std::int64_t width, stride, channels;
  const float *weight, *bias;  // [9, channels], [channels]
  T* output;
};

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
[[gnu::always_inline]] inline void Pixels(RowTask<T> task) {
  for (std::int64_t x = 0; x < task.width; x += task.stride) {
    const T* taps[9];
    for (int y = 0; y < 3; ++y) {
      for (int dx = -1; dx <= 1; ++dx) {
        const bool inside = task.rows[y] != nullptr && x + dx >= 0 && x + dx < task.width;
        taps[3 * y + dx + 1] = inside ? task.rows[y] + (x + dx) * task.channels : task.zeros;
      }
    }
    Pixel<kGelu>(taps, task.weight, task.bias, task.channels, task.output);
    task.output += task.channels;
  }
}

template <typename T>
[[gnu::always_inline]] inline void Run(bool gelu, const RowTask<T>& task) {
  if (gelu) {
    Pixels<true>(task);
  } else {
    Pixels<false>(task);
  }
}

DUET_CLONES void RunRow(bool gelu, const RowTask<float>& task) { Run(gelu, task); }
DUET_CLONES void RunRow(bool gelu, const RowTask<BFloat16Bits>& task) { Run(gelu, task); }

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
  RunRow(gelu_, RowTask<T>{.rows = {above, here, below},
                           .zeros = zeros.data(),
                           .width = width,
                           .stride = stride_,
                           .channels = channels_,
                           .weight = weight_.data(),
                           .bias = bias_.data(),
                           .output = output});
}

template void Depthwise3x3::Row(const float*, const float*, const float*, std::int64_t,
                                float*) const;
template void Depthwise3x3::Row(const BFloat16Bits*, const BFloat16Bits*, const BFloat16Bits*,
                                std::int64_t, BFloat16Bits*) const;

}  // namespace nn::onednn
