// The building blocks of CSPNeXt. A CSP layer halves its channels into two paths, sends one through
// a row of blocks (3×3 then separable 5×5), and joins them with a 1×1: most of the depth at half
// the cost.
//
// Shapes are [B, C, H, W], float32. Names match mmdet's; sources: mmcv/cnn/bricks/{conv_module,
// depthwise_separable_conv_module}.py, mmdet/models/layers/csp_layer.py.
#ifndef DUET_DETECTOR_SERVICE_RTMDET_CSP_LAYER_H_
#define DUET_DETECTOR_SERVICE_RTMDET_CSP_LAYER_H_

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include <memory>

#include "nn/layers.h"

namespace detector {

// A convolution with batch norm and SiLU: in one piece (ConvModule), or depthwise separable where
// the model was trained with use_depthwise, as RTMDet-nano was.
class ConvUnitImpl : public torch::nn::Module {
 public:
  virtual at::Tensor forward(const at::Tensor& x) = 0;
};
using ConvUnit = std::shared_ptr<ConvUnitImpl>;

ConvUnit MakeConvUnit(bool depthwise, int in_channels, int out_channels, int kernel_size,
                      int stride = 1);

// Convolution without bias, padded to keep the size (divided by stride), batch norm, SiLU.
class ConvModuleImpl : public ConvUnitImpl {
 public:
  ConvModuleImpl(int in_channels, int out_channels, int kernel_size, int stride = 1,
                 int groups = 1);
  // Shares `shared_conv` with other ConvModules; the batch norm is its own.
  explicit ConvModuleImpl(nn::Conv2d shared_conv);
  at::Tensor forward(const at::Tensor& x) override;

  nn::Conv2d conv;
  nn::BatchNorm2d bn;
};
TORCH_MODULE(ConvModule);

// A convolution of each channel by itself, with the kernel and the stride, then a 1×1 to
// `out_channels`; each is a ConvModule.
class DepthwiseSeparableConvModuleImpl : public ConvUnitImpl {
 public:
  DepthwiseSeparableConvModuleImpl(int in_channels, int out_channels, int kernel_size,
                                   int stride = 1);
  at::Tensor forward(const at::Tensor& x) override;

  ConvModule depthwise_conv;
  ConvModule pointwise_conv;
};
TORCH_MODULE(DepthwiseSeparableConvModule);

class CSPNeXtBlockImpl : public torch::nn::Module {
 public:
  CSPNeXtBlockImpl(int channels, bool add_identity, bool depthwise);
  at::Tensor forward(const at::Tensor& x);

  const bool add_identity;  // x is added after the last SiLU
  ConvUnit conv1;           // 3×3
  DepthwiseSeparableConvModule conv2;
};
TORCH_MODULE(CSPNeXtBlock);

// x * hardsigmoid(fc(mean of x over the pixels)).
class ChannelAttentionImpl : public torch::nn::Module {
 public:
  explicit ChannelAttentionImpl(int channels);
  at::Tensor forward(const at::Tensor& x);

  nn::Conv2d fc;
};
TORCH_MODULE(ChannelAttention);

class CSPLayerImpl : public torch::nn::Module {
 public:
  CSPLayerImpl(int in_channels, int out_channels, int num_blocks, bool add_identity,
               bool use_attention, bool depthwise);
  at::Tensor forward(const at::Tensor& x);

  ConvModule main_conv;
  ConvModule short_conv;
  ConvModule final_conv;
  torch::nn::ModuleList blocks;
  ChannelAttention attention{nullptr};  // null without attention
};
TORCH_MODULE(CSPLayer);

// Max-pools with 5, 9 and 13 pixel windows beside the identity, so that a cell sees far.
class SPPBottleneckImpl : public torch::nn::Module {
 public:
  explicit SPPBottleneckImpl(int channels);
  at::Tensor forward(const at::Tensor& x);

  ConvModule conv1;
  ConvModule conv2;
};
TORCH_MODULE(SPPBottleneck);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RTMDET_CSP_LAYER_H_
