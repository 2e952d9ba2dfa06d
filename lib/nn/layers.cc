#include "nn/layers.h"

#include <cmath>
#include <unordered_set>

namespace nn {
namespace {

thread_local bool skip_initialization = false;

// PyTorch's default for weights and biases of convolutions and linear layers: kaiming_uniform with
// a = sqrt(5), which is uniform in ±1/sqrt(fan_in).
void UniformByFanIn(at::Tensor tensor, std::int64_t fan_in) {
  if (SkipInitialization::Active() || !tensor.defined()) return;
  torch::NoGradGuard no_grad;
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  tensor.uniform_(-bound, bound);
}

void Fill(at::Tensor tensor, double value) {
  if (SkipInitialization::Active()) return;
  torch::NoGradGuard no_grad;
  tensor.fill_(value);
}

}  // namespace

SkipInitialization::SkipInitialization() : previous_(skip_initialization) {
  skip_initialization = true;
}
SkipInitialization::~SkipInitialization() { skip_initialization = previous_; }
bool SkipInitialization::Active() { return skip_initialization; }

Conv2dImpl::Conv2dImpl(const Conv2dOptions& o) : options(o) {
  const std::int64_t in = o.in_channels / o.groups;
  weight =
      register_parameter("weight", at::empty({o.out_channels, in, o.kernel_size, o.kernel_size}));
  if (o.bias) bias = register_parameter("bias", at::empty({o.out_channels}));
  UniformByFanIn(weight, in * o.kernel_size * o.kernel_size);
  UniformByFanIn(bias, in * o.kernel_size * o.kernel_size);
}

at::Tensor Conv2dImpl::forward(const at::Tensor& x) {
  return at::conv2d(x, weight, bias, options.stride, options.padding, /*dilation=*/1,
                    options.groups);
}

ConvTranspose2dImpl::ConvTranspose2dImpl(std::int64_t in_channels, std::int64_t out_channels,
                                         std::int64_t kernel_size)
    : stride(kernel_size) {
  weight = register_parameter("weight",
                              at::empty({in_channels, out_channels, kernel_size, kernel_size}));
  bias = register_parameter("bias", at::empty({out_channels}));
  // PyTorch takes dimension 1 for the fan-in, here the output channels.
  UniformByFanIn(weight, out_channels * kernel_size * kernel_size);
  UniformByFanIn(bias, out_channels * kernel_size * kernel_size);
}

at::Tensor ConvTranspose2dImpl::forward(const at::Tensor& x) {
  return at::conv_transpose2d(x, weight, bias, stride);
}

LinearImpl::LinearImpl(std::int64_t in_features, std::int64_t out_features, bool with_bias) {
  weight = register_parameter("weight", at::empty({out_features, in_features}));
  if (with_bias) bias = register_parameter("bias", at::empty({out_features}));
  UniformByFanIn(weight, in_features);
  UniformByFanIn(bias, in_features);
}

at::Tensor LinearImpl::forward(const at::Tensor& x) { return at::linear(x, weight, bias); }

BatchNorm2dImpl::BatchNorm2dImpl(std::int64_t channels, double e, double m) : eps(e), momentum(m) {
  weight = register_parameter("weight", at::empty({channels}));
  bias = register_parameter("bias", at::empty({channels}));
  running_mean = register_buffer("running_mean", at::empty({channels}));
  running_var = register_buffer("running_var", at::empty({channels}));
  num_batches_tracked = register_buffer("num_batches_tracked", at::empty({}, at::kLong));
  Fill(weight, 1);
  Fill(bias, 0);
  Fill(running_mean, 0);
  Fill(running_var, 1);
  num_batches_tracked.zero_();  // even unloaded: old files lack it
}

at::Tensor BatchNorm2dImpl::forward(const at::Tensor& x) {
  if (is_training()) {
    torch::NoGradGuard no_grad;
    num_batches_tracked.add_(1);
  }
  return at::batch_norm(x, weight, bias, running_mean, running_var, is_training(), momentum, eps,
                        /*cudnn_enabled=*/true);
}

LayerNormImpl::LayerNormImpl(std::int64_t features, double e) : eps(e) {
  weight = register_parameter("weight", at::empty({features}));
  bias = register_parameter("bias", at::empty({features}));
  Fill(weight, 1);
  Fill(bias, 0);
}

at::Tensor LayerNormImpl::forward(const at::Tensor& x) {
  return at::layer_norm(x, weight.sizes(), weight, bias, eps);
}

LayerNorm2dImpl::LayerNorm2dImpl(std::int64_t channels, double e) : eps(e) {
  weight = register_parameter("weight", at::empty({channels}));
  bias = register_parameter("bias", at::empty({channels}));
  Fill(weight, 1);
  Fill(bias, 0);
}

at::Tensor LayerNorm2dImpl::forward(const at::Tensor& x) {
  return at::layer_norm(x.permute({0, 2, 3, 1}), weight.sizes(), weight, bias, eps)
      .permute({0, 3, 1, 2});
}

EmbeddingImpl::EmbeddingImpl(std::int64_t count, std::int64_t features) {
  weight = register_parameter("weight", at::empty({count, features}));
  if (!SkipInitialization::Active()) {
    torch::NoGradGuard no_grad;
    weight.normal_();
  }
}

std::vector<at::Tensor> UniqueParameters(const torch::nn::Module& module) {
  std::vector<at::Tensor> unique;
  std::unordered_set<const void*> seen;
  for (const at::Tensor& parameter : module.parameters()) {
    if (seen.insert(parameter.unsafeGetTensorImpl()).second) unique.push_back(parameter);
  }
  return unique;
}

}  // namespace nn
