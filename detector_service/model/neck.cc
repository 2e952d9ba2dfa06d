#include "detector_service/model/neck.h"

#include "detector_service/model/csp_layer.h"

namespace detector {
namespace {

template <typename ModuleImpl>
at::Tensor Run(const torch::nn::ModuleList& list, int index, const at::Tensor& x) {
  return list->ptr(index)->as<ModuleImpl>()->forward(x);
}

}  // namespace

CSPNeXtPAFPNImpl::CSPNeXtPAFPNImpl(const RtmdetConfig& config) {
  const int c3 = config.stage_channels[1];
  const int c4 = config.stage_channels[2];
  const int c5 = config.stage_channels[3];
  const auto csp = [&](int in, int out) {
    return CSPLayer(in, out, config.neck_blocks, /*add_identity=*/false, /*use_attention=*/false);
  };
  reduce_layers->push_back(ConvModule(c5, c4, /*kernel_size=*/1));
  reduce_layers->push_back(ConvModule(c4, c3, /*kernel_size=*/1));
  top_down_blocks->push_back(csp(2 * c4, c4));
  top_down_blocks->push_back(csp(2 * c3, c3));
  downsamples->push_back(ConvModule(c3, c3, /*kernel_size=*/3, /*stride=*/2));
  downsamples->push_back(ConvModule(c4, c4, /*kernel_size=*/3, /*stride=*/2));
  bottom_up_blocks->push_back(csp(2 * c3, c4));
  bottom_up_blocks->push_back(csp(2 * c4, c5));
  for (int channels : {c3, c4, c5}) {
    out_convs->push_back(ConvModule(channels, config.neck_channels, /*kernel_size=*/3));
  }
  register_module("reduce_layers", reduce_layers);
  register_module("top_down_blocks", top_down_blocks);
  register_module("downsamples", downsamples);
  register_module("bottom_up_blocks", bottom_up_blocks);
  register_module("out_convs", out_convs);
}

Features CSPNeXtPAFPNImpl::forward(const Features& c) {
  const auto upsample = [](const at::Tensor& x) {
    return at::upsample_nearest2d(x, {x.size(2) * 2, x.size(3) * 2});
  };
  const at::Tensor p5 = Run<ConvModuleImpl>(reduce_layers, 0, c[2]);
  const at::Tensor t4 = Run<CSPLayerImpl>(top_down_blocks, 0, at::cat({upsample(p5), c[1]}, 1));
  const at::Tensor p4 = Run<ConvModuleImpl>(reduce_layers, 1, t4);
  const at::Tensor o3 = Run<CSPLayerImpl>(top_down_blocks, 1, at::cat({upsample(p4), c[0]}, 1));
  // The way back up joins the reduced maps p4 and p5, not t4 and c5.
  const at::Tensor down3 = Run<ConvModuleImpl>(downsamples, 0, o3);
  const at::Tensor o4 = Run<CSPLayerImpl>(bottom_up_blocks, 0, at::cat({down3, p4}, 1));
  const at::Tensor down4 = Run<ConvModuleImpl>(downsamples, 1, o4);
  const at::Tensor o5 = Run<CSPLayerImpl>(bottom_up_blocks, 1, at::cat({down4, p5}, 1));
  return {Run<ConvModuleImpl>(out_convs, 0, o3), Run<ConvModuleImpl>(out_convs, 1, o4),
          Run<ConvModuleImpl>(out_convs, 2, o5)};
}

}  // namespace detector
