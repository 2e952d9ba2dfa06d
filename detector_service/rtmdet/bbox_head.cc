#include "detector_service/rtmdet/bbox_head.h"

#include <cmath>
#include <vector>

#include "detector_service/rtmdet/csp_layer.h"

namespace detector {
namespace {

// kLevels towers of convolutions; with `share_conv` the later ones reuse the first one's
// convolutions.
torch::nn::ModuleList MakeTowers(const RtmdetConfig& config, bool share_conv) {
  torch::nn::ModuleList towers;
  for (int level = 0; level < kLevels; ++level) {
    torch::nn::ModuleList tower;
    for (int i = 0; i < config.stacked_convs; ++i) {
      if (level > 0 && share_conv) {
        const auto* first = towers->ptr(0)->as<torch::nn::ModuleListImpl>();
        tower->push_back(ConvModule((*first)[i]->as<ConvModuleImpl>()->conv));
      } else {
        const int in = i == 0 ? config.neck_channels : config.head_channels;
        tower->push_back(
            MakeConvUnit(config.depthwise.head, in, config.head_channels, /*kernel_size=*/3));
      }
    }
    towers->push_back(tower);
  }
  return towers;
}

// One 1×1 with bias per level.
torch::nn::ModuleList MakePredictions(const RtmdetConfig& config, int channels) {
  torch::nn::ModuleList predictions;
  for (int level = 0; level < kLevels; ++level) {
    predictions->push_back(nn::Conv2d(
        nn::Conv2dOptions{.in_channels = config.head_channels, .out_channels = channels}));
  }
  return predictions;
}

at::Tensor RunTower(const torch::nn::ModuleList& towers, int level, at::Tensor x) {
  for (const auto& module : *towers->ptr(level)->as<torch::nn::ModuleListImpl>()) {
    x = module->as<ConvUnitImpl>()->forward(x);
  }
  return x;
}

at::Tensor Predict(const torch::nn::ModuleList& list, int level, const at::Tensor& x) {
  return list->ptr(level)->as<nn::Conv2dImpl>()->forward(x);
}

}  // namespace

MaskFeatModuleImpl::MaskFeatModuleImpl(const RtmdetConfig& config)
    : fusion_conv(nn::Conv2dOptions{.in_channels = kLevels * config.neck_channels,
                                    .out_channels = config.neck_channels}),
      projection(
          nn::Conv2dOptions{.in_channels = config.head_channels, .out_channels = kMaskFeatures}) {
  for (int i = 0; i < config.mask_convs; ++i) {
    const int in = i == 0 ? config.neck_channels : config.head_channels;
    stacked_convs->push_back(ConvModule(in, config.head_channels, /*kernel_size=*/3));
  }
  register_module("fusion_conv", fusion_conv);
  register_module("stacked_convs", stacked_convs);
  register_module("projection", projection);
}

at::Tensor MaskFeatModuleImpl::forward(const Features& features) {
  std::vector<at::Tensor> maps(features.begin(), features.end());
  for (int level = 1; level < kLevels; ++level) {
    maps[level] = at::upsample_bilinear2d(maps[level], maps[0].sizes().slice(2),
                                          /*align_corners=*/false);
  }
  at::Tensor x = fusion_conv(at::cat(maps, 1));
  for (const auto& module : *stacked_convs) x = module->as<ConvModuleImpl>()->forward(x);
  return projection(x);
}

RTMDetSepBNHeadImpl::RTMDetSepBNHeadImpl(const RtmdetConfig& config)
    : kind(config.head),
      exp_on_reg(config.exp_on_reg),
      cls_convs(MakeTowers(config, config.share_conv)),
      reg_convs(kind == HeadKind::kInstances ? cls_convs : MakeTowers(config, config.share_conv)),
      rtm_cls(MakePredictions(config, config.num_classes)),
      rtm_reg(MakePredictions(config, 4)) {
  register_module("cls_convs", cls_convs);
  register_module("reg_convs", reg_convs);
  if (kind == HeadKind::kInstances) {
    kernel_convs = register_module("kernel_convs", MakeTowers(config, /*share_conv=*/false));
  }
  register_module("rtm_cls", rtm_cls);
  register_module("rtm_reg", rtm_reg);
  if (kind == HeadKind::kRotated) {
    rtm_ang = register_module("rtm_ang", MakePredictions(config, 1));
  }
  if (kind == HeadKind::kInstances) {
    rtm_kernel = register_module("rtm_kernel", MakePredictions(config, kMaskKernelSize));
    mask_head = register_module("mask_head", MaskFeatModule(config));
  }
  if (nn::SkipInitialization::Active()) return;

  torch::NoGradGuard no_grad;
  for (const auto& module : modules(/*include_self=*/false)) {
    if (auto* conv = module->as<nn::Conv2dImpl>()) {
      conv->weight.normal_(0, kInitialStd);
      if (conv->bias.defined()) conv->bias.zero_();
    }
  }
  for (const auto& module : *rtm_cls) {
    module->as<nn::Conv2dImpl>()->bias.fill_(
        -std::log((1 - kInitialProbability) / kInitialProbability));
  }
  if (kind == HeadKind::kInstances) {
    // Distances are max(x, 0): from 0 nothing would ever be learnt.
    for (const auto& module : *rtm_reg) module->as<nn::Conv2dImpl>()->bias.fill_(1);
  }
}

HeadOutput RTMDetSepBNHeadImpl::forward(const Features& features) {
  HeadOutput output;
  for (int level = 0; level < kLevels; ++level) {
    const at::Tensor cls_feature = RunTower(cls_convs, level, features[level]);
    // A training runs the modules that cls_convs and reg_convs share twice, as upstream: each time
    // moves the running statistics of their batch norms.
    const at::Tensor reg_feature = reg_convs.ptr() == cls_convs.ptr() && !is_training()
                                       ? cls_feature
                                       : RunTower(reg_convs, level, features[level]);
    output.cls_logits[level] = Predict(rtm_cls, level, cls_feature);
    at::Tensor reg = Predict(rtm_reg, level, reg_feature);
    if (exp_on_reg) reg = reg.exp();
    if (kind == HeadKind::kInstances) reg = reg.relu();
    output.distances[level] = reg * kStrides[level];
    if (kind == HeadKind::kRotated) output.angles[level] = Predict(rtm_ang, level, reg_feature);
    if (kind == HeadKind::kInstances) {
      output.kernels[level] =
          Predict(rtm_kernel, level, RunTower(kernel_convs, level, features[level]));
    }
  }
  if (kind == HeadKind::kInstances) output.mask_features = mask_head(features);
  return output;
}

}  // namespace detector
