#include "detector_service/rtmdet/csp_layer.h"

#include <utility>

#include "nn/norm_silu.h"

namespace detector {
namespace {

at::Tensor Silu(at::Tensor x) {
  // In place only where autograd does not need x again.
  return at::GradMode::is_enabled() ? at::silu(x) : at::silu_(x);
}

nn::Conv2d MakeConv(int in_channels, int out_channels, int kernel_size, int stride, int groups) {
  return nn::Conv2d(nn::Conv2dOptions{.in_channels = in_channels,
                                      .out_channels = out_channels,
                                      .kernel_size = kernel_size,
                                      .stride = stride,
                                      .padding = kernel_size / 2,
                                      .groups = groups,
                                      .bias = false});
}

}  // namespace

ConvUnit MakeConvUnit(bool depthwise, int in_channels, int out_channels, int kernel_size,
                      int stride) {
  if (depthwise) {
    return std::make_shared<DepthwiseSeparableConvModuleImpl>(in_channels, out_channels,
                                                              kernel_size, stride);
  }
  return std::make_shared<ConvModuleImpl>(in_channels, out_channels, kernel_size, stride);
}

ConvModuleImpl::ConvModuleImpl(int in_channels, int out_channels, int kernel_size, int stride,
                               int groups)
    : ConvModuleImpl(MakeConv(in_channels, out_channels, kernel_size, stride, groups)) {}

ConvModuleImpl::ConvModuleImpl(nn::Conv2d shared_conv)
    : conv(std::move(shared_conv)), bn(conv->options.out_channels) {
  register_module("conv", conv);
  register_module("bn", bn);
}

at::Tensor ConvModuleImpl::forward(const at::Tensor& x) {
  const at::Tensor y = conv(x);
  return nn::CanFuse(*bn, y) ? nn::BatchNormSilu(*bn, y) : Silu(bn(y));
}

DepthwiseSeparableConvModuleImpl::DepthwiseSeparableConvModuleImpl(int in_channels,
                                                                   int out_channels,
                                                                   int kernel_size, int stride)
    : depthwise_conv(in_channels, in_channels, kernel_size, stride, /*groups=*/in_channels),
      pointwise_conv(in_channels, out_channels, /*kernel_size=*/1) {
  register_module("depthwise_conv", depthwise_conv);
  register_module("pointwise_conv", pointwise_conv);
}

at::Tensor DepthwiseSeparableConvModuleImpl::forward(const at::Tensor& x) {
  return pointwise_conv(depthwise_conv(x));
}

CSPNeXtBlockImpl::CSPNeXtBlockImpl(int channels, bool identity, bool depthwise)
    : add_identity(identity),
      conv1(MakeConvUnit(depthwise, channels, channels, /*kernel_size=*/3)),
      conv2(channels, channels, /*kernel_size=*/5) {
  register_module("conv1", conv1);
  register_module("conv2", conv2);
}

at::Tensor CSPNeXtBlockImpl::forward(const at::Tensor& x) {
  const at::Tensor y = conv2(conv1->forward(x));
  return add_identity ? y + x : y;
}

ChannelAttentionImpl::ChannelAttentionImpl(int channels)
    : fc(nn::Conv2dOptions{.in_channels = channels, .out_channels = channels}) {
  register_module("fc", fc);
}

at::Tensor ChannelAttentionImpl::forward(const at::Tensor& x) {
  return x * at::hardsigmoid(fc(at::adaptive_avg_pool2d(x, {1, 1})));
}

CSPLayerImpl::CSPLayerImpl(int in_channels, int out_channels, int num_blocks, bool add_identity,
                           bool use_attention, bool depthwise)
    : main_conv(in_channels, out_channels / 2, /*kernel_size=*/1),
      short_conv(in_channels, out_channels / 2, /*kernel_size=*/1),
      final_conv(out_channels / 2 * 2, out_channels, /*kernel_size=*/1) {
  register_module("main_conv", main_conv);
  register_module("short_conv", short_conv);
  register_module("final_conv", final_conv);
  for (int i = 0; i < num_blocks; ++i) {
    blocks->push_back(CSPNeXtBlock(out_channels / 2, add_identity, depthwise));
  }
  register_module("blocks", blocks);
  if (use_attention) {
    attention = register_module("attention", ChannelAttention(out_channels / 2 * 2));
  }
}

at::Tensor CSPLayerImpl::forward(const at::Tensor& x) {
  const at::Tensor short_path = short_conv(x);
  at::Tensor main_path = main_conv(x);
  for (const auto& block : *blocks) main_path = block->as<CSPNeXtBlockImpl>()->forward(main_path);
  at::Tensor joined = at::cat({main_path, short_path}, 1);
  if (attention) joined = attention(joined);
  return final_conv(joined);
}

SPPBottleneckImpl::SPPBottleneckImpl(int channels)
    : conv1(channels, channels / 2, /*kernel_size=*/1),
      conv2(channels / 2 * 4, channels, /*kernel_size=*/1) {
  register_module("conv1", conv1);
  register_module("conv2", conv2);
}

at::Tensor SPPBottleneckImpl::forward(const at::Tensor& x) {
  const at::Tensor y = conv1(x);
  const auto pool = [&](int window) {
    return at::max_pool2d(y, window, /*stride=*/1, /*padding=*/window / 2);
  };
  return conv2(at::cat({y, pool(5), pool(9), pool(13)}, 1));
}

}  // namespace detector
