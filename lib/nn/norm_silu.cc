#include "nn/norm_silu.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <tuple>

#include "nn/onednn/target_clones.h"
#include "nn/onednn/vector_math.h"

namespace nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kRowsOfATask = 1024;

// Per channel: z = x · scale + shift is the norm's result.
struct Affine {
  const float* scale;
  const float* shift;
};

// d silu(z) / dz.
[[gnu::always_inline]] inline float Slope(float z) {
  const float s = 1 / (1 + onednn::Exp(-z));
  return s * (1 + z * (1 - s));
}

DUET_CLONES void Forward(const float* x, const Affine& norm, std::int64_t rows,
                         std::int64_t channels, float* y) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = x + row * channels;
    float* to = y + row * channels;
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const float z = from[c] * norm.scale[c] + norm.shift[c];
      to[c] = z / (1 + onednn::Exp(-z));
    }
  }
}

// Adds to sums[c] the gradients of z, and to sums[channels + c] their products with x - mean.
DUET_CLONES void AddSums(const float* x, const float* gradient, const Affine& norm,
                         const float* mean, std::int64_t rows, std::int64_t channels, float* sums) {
  float* __restrict of_z = sums;
  float* __restrict products = sums + channels;
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = x + row * channels;
    const float* g = gradient + row * channels;
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const float gz = g[c] * Slope(from[c] * norm.scale[c] + norm.shift[c]);
      of_z[c] += gz;
      products[c] += gz * (from[c] - mean[c]);
    }
  }
}

// The gradient of x is of_z · (gradient of z) + of_x · x + constant.
DUET_CLONES void Backward(const float* x, const float* gradient, const Affine& norm,
                          const float* of_x, const float* constant, std::int64_t rows,
                          std::int64_t channels, float* result) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = x + row * channels;
    const float* g = gradient + row * channels;
    float* to = result + row * channels;
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const float gz = g[c] * Slope(from[c] * norm.scale[c] + norm.shift[c]);
      to[c] = norm.scale[c] * gz + of_x[c] * from[c] + constant[c];
    }
  }
}

// Pixels of all images.
std::int64_t RowsOf(const at::Tensor& x) { return x.size(0) * x.size(2) * x.size(3); }

void ForTasks(std::int64_t rows,
              const std::function<void(std::int64_t begin, std::int64_t count)>& work) {
  const std::int64_t tasks = (rows + kRowsOfATask - 1) / kRowsOfATask;
  at::parallel_for(0, tasks, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task) {
      const std::int64_t begin = task * kRowsOfATask;
      work(begin, std::min(kRowsOfATask, rows - begin));
    }
  });
}

// [2, C], double: the sums of all tasks, added in their order, however many threads there were.
at::Tensor SumsOf(const at::Tensor& x, const at::Tensor& gradient, const Affine& norm,
                  const at::Tensor& mean) {
  const std::int64_t rows = RowsOf(x);
  const std::int64_t channels = x.size(1);
  const std::int64_t tasks = (rows + kRowsOfATask - 1) / kRowsOfATask;
  at::Tensor partial = at::zeros({tasks, 2, channels});
  ForTasks(rows, [&](std::int64_t begin, std::int64_t count) {
    AddSums(x.data_ptr<float>() + begin * channels, gradient.data_ptr<float>() + begin * channels,
            norm, mean.data_ptr<float>(), count, channels,
            partial.data_ptr<float>() + begin / kRowsOfATask * 2 * channels);
  });
  return partial.sum(0, /*keepdim=*/false, at::kDouble);
}

class NormSilu : public torch::autograd::Function<NormSilu> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& mean,
                            const at::Tensor& inverse_deviation) {
    const at::Tensor scale = weight * inverse_deviation;
    const at::Tensor shift = bias - mean * scale;
    context->save_for_backward({x, scale, shift, mean, inverse_deviation});
    at::Tensor y = at::empty_like(x);
    const Affine norm{scale.data_ptr<float>(), shift.data_ptr<float>()};
    const std::int64_t channels = x.size(1);
    ForTasks(RowsOf(x), [&](std::int64_t begin, std::int64_t count) {
      Forward(x.data_ptr<float>() + begin * channels, norm, count, channels,
              y.data_ptr<float>() + begin * channels);
    });
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& scale = saved[1];
    const at::Tensor& shift = saved[2];
    const at::Tensor& mean = saved[3];
    const at::Tensor& inverse_deviation = saved[4];
    const at::Tensor gradient = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    const Affine norm{scale.data_ptr<float>(), shift.data_ptr<float>()};
    const std::int64_t channels = x.size(1);
    const auto rows = static_cast<double>(RowsOf(x));

    const at::Tensor sums = SumsOf(x, gradient, norm, mean);
    const at::Tensor of_bias = sums[0];
    const at::Tensor of_weight = sums[1] * inverse_deviation;
    const at::Tensor of_x = -scale * inverse_deviation * of_weight / rows;
    const at::Tensor constant = -scale * of_bias / rows - of_x * mean;
    const at::Tensor of_x_float = of_x.to(at::kFloat);
    const at::Tensor constant_float = constant.to(at::kFloat);
    at::Tensor result = at::empty_like(x);
    ForTasks(RowsOf(x), [&](std::int64_t begin, std::int64_t count) {
      Backward(x.data_ptr<float>() + begin * channels,
               gradient.data_ptr<float>() + begin * channels, norm, of_x_float.data_ptr<float>(),
               constant_float.data_ptr<float>(), count, channels,
               result.data_ptr<float>() + begin * channels);
    });
    return {result, of_weight.to(at::kFloat), of_bias.to(at::kFloat), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

bool CanFuse(const BatchNorm2dImpl& norm, const at::Tensor& x) {
  return at::GradMode::is_enabled() && norm.is_training() && x.dim() == 4 &&
         x.scalar_type() == at::kFloat && x.is_contiguous(at::MemoryFormat::ChannelsLast) &&
         !x.is_contiguous();
}

at::Tensor BatchNormSilu(BatchNorm2dImpl& norm, const at::Tensor& x) {
  at::Tensor mean;
  at::Tensor variance;
  {
    const at::NoGradGuard no_grad;
    norm.num_batches_tracked.add_(1);
    std::tie(mean, variance) =
        at::batch_norm_update_stats(x, norm.running_mean, norm.running_var, norm.momentum);
  }
  return NormSilu::apply(x, norm.weight, norm.bias, mean, (variance + norm.eps).rsqrt());
}

}  // namespace nn
