// The layers that both services' models are built from, instead of torch::nn's (of which only the
// containers are used). Parameters and their names are those of torch.nn, the arithmetic is ATen's.
//
// They differ from torch::nn's in one thing: inside a SkipInitialization scope their parameters are
// left unset, so that a model about to be loaded from a file does not draw half a billion random
// numbers first. Outside of such a scope they draw the same numbers as PyTorch's layers.
#ifndef DUET_NN_LAYERS_H_
#define DUET_NN_LAYERS_H_

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace nn {

// While one is alive, layers constructed on this thread leave their parameters and buffers unset.
class SkipInitialization {
 public:
  SkipInitialization();
  ~SkipInitialization();
  SkipInitialization(const SkipInitialization&) = delete;
  SkipInitialization& operator=(const SkipInitialization&) = delete;

  static bool Active();

 private:
  bool previous_;
};

struct Conv2dOptions {
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  std::int64_t kernel_size = 1;  // square
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t groups = 1;
  bool bias = true;
};

// weight [out, in / groups, k, k], bias [out]; [B, in, H, W] → [B, out, H', W'].
class Conv2dImpl : public torch::nn::Module {
 public:
  explicit Conv2dImpl(const Conv2dOptions& options);
  at::Tensor forward(const at::Tensor& x);

  // Constant after construction.
  const Conv2dOptions options;
  at::Tensor weight;
  at::Tensor bias;  // undefined without one
};
TORCH_MODULE(Conv2d);

// weight [in, out, k, k]; stride = kernel_size, no padding, as SAM's mask decoder upscales.
class ConvTranspose2dImpl : public torch::nn::Module {
 public:
  ConvTranspose2dImpl(std::int64_t in_channels, std::int64_t out_channels,
                      std::int64_t kernel_size);
  at::Tensor forward(const at::Tensor& x);

  const std::int64_t stride;
  at::Tensor weight;
  at::Tensor bias;
};
TORCH_MODULE(ConvTranspose2d);

// weight [out, in], bias [out]; over the last dimension.
class LinearImpl : public torch::nn::Module {
 public:
  LinearImpl(std::int64_t in_features, std::int64_t out_features, bool with_bias = true);
  at::Tensor forward(const at::Tensor& x);

  at::Tensor weight;
  at::Tensor bias;  // undefined without one
};
TORCH_MODULE(Linear);

// weight, bias, running_mean, running_var [channels] and num_batches_tracked, an int64 scalar that
// PyTorch counts and nothing here reads. In train mode it normalises with the batch's statistics
// and moves the running ones by `momentum`.
class BatchNorm2dImpl : public torch::nn::Module {
 public:
  explicit BatchNorm2dImpl(std::int64_t channels, double eps = 1e-5, double momentum = 0.1);
  at::Tensor forward(const at::Tensor& x);

  const double eps;
  const double momentum;
  at::Tensor weight;
  at::Tensor bias;
  at::Tensor running_mean;
  at::Tensor running_var;
  at::Tensor num_batches_tracked;
};
TORCH_MODULE(BatchNorm2d);

// Over the last dimension.
class LayerNormImpl : public torch::nn::Module {
 public:
  explicit LayerNormImpl(std::int64_t features, double eps = 1e-5);
  at::Tensor forward(const at::Tensor& x);

  const double eps;
  at::Tensor weight;
  at::Tensor bias;
};
TORCH_MODULE(LayerNorm);

// Over the channels of [B, C, H, W] (SAM's own layer: eps 1e-6).
class LayerNorm2dImpl : public torch::nn::Module {
 public:
  explicit LayerNorm2dImpl(std::int64_t channels, double eps = 1e-6);
  at::Tensor forward(const at::Tensor& x);

  const double eps;
  at::Tensor weight;
  at::Tensor bias;
};
TORCH_MODULE(LayerNorm2d);

// A table of learned vectors, used row by row: weight [count, features].
class EmbeddingImpl : public torch::nn::Module {
 public:
  EmbeddingImpl(std::int64_t count, std::int64_t features);

  at::Tensor weight;
};
TORCH_MODULE(Embedding);

// What an optimizer steps: each parameter of `module` once, even if several names share it
// (Module::parameters() lists those once per name).
std::vector<at::Tensor> UniqueParameters(const torch::nn::Module& module);

}  // namespace nn

#endif  // DUET_NN_LAYERS_H_
