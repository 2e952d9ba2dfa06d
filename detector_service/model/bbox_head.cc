#include "detector_service/model/bbox_head.h"

#include <cmath>
#include <vector>

#include "detector_service/model/csp_layer.h"

namespace detector {
namespace {

constexpr double kInitialStd = 0.01;
constexpr double kInitialProbability = 0.01;  // of any class at any cell, before training

// kLevels towers of ConvModules; with `share_conv` the later ones reuse the first one's
// convolutions.
torch::nn::ModuleList MakeTowers(const RtmdetConfig& config) {
  torch::nn::ModuleList towers;
  for (int level = 0; level < kLevels; ++level) {
    torch::nn::ModuleList tower;
    for (int i = 0; i < config.stacked_convs; ++i) {
      if (level > 0 && config.share_conv) {
        const auto* first = towers->ptr(0)->as<torch::nn::ModuleListImpl>();
        tower->push_back(ConvModule((*first)[i]->as<ConvModuleImpl>()->conv));
      } else {
        const int in = i == 0 ? config.neck_channels : config.head_channels;
        tower->push_back(ConvModule(in, config.head_channels, /*kernel_size=*/3));
      }
    }
    towers->push_back(tower);
  }
  return towers;
}

at::Tensor RunTower(const torch::nn::ModuleList& towers, int level, at::Tensor x) {
  for (const auto& module : *towers->ptr(level)->as<torch::nn::ModuleListImpl>()) {
    x = module->as<ConvModuleImpl>()->forward(x);
  }
  return x;
}

at::Tensor Predict(const torch::nn::ModuleList& list, int level, const at::Tensor& x) {
  return list->ptr(level)->as<nn::Conv2dImpl>()->forward(x);
}

}  // namespace

RTMDetSepBNHeadImpl::RTMDetSepBNHeadImpl(const RtmdetConfig& config)
    : exp_on_reg(config.exp_on_reg), cls_convs(MakeTowers(config)), reg_convs(MakeTowers(config)) {
  for (int level = 0; level < kLevels; ++level) {
    rtm_cls->push_back(nn::Conv2d(nn::Conv2dOptions{.in_channels = config.head_channels,
                                                    .out_channels = config.num_classes}));
    rtm_reg->push_back(
        nn::Conv2d(nn::Conv2dOptions{.in_channels = config.head_channels, .out_channels = 4}));
  }
  register_module("cls_convs", cls_convs);
  register_module("reg_convs", reg_convs);
  register_module("rtm_cls", rtm_cls);
  register_module("rtm_reg", rtm_reg);
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
}

HeadOutput RTMDetSepBNHeadImpl::forward(const Features& features) {
  HeadOutput output;
  for (int level = 0; level < kLevels; ++level) {
    output.cls_logits[level] = Predict(rtm_cls, level, RunTower(cls_convs, level, features[level]));
    at::Tensor reg = Predict(rtm_reg, level, RunTower(reg_convs, level, features[level]));
    if (exp_on_reg) reg = reg.exp();
    output.distances[level] = reg * kStrides[level];
  }
  return output;
}

}  // namespace detector
