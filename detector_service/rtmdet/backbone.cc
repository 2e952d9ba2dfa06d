#include "detector_service/rtmdet/backbone.h"

#include <absl/strings/str_cat.h>

#include "detector_service/rtmdet/csp_layer.h"

namespace detector {

CSPNeXtImpl::CSPNeXtImpl(const RtmdetConfig& config) {
  stem->push_back(ConvModule(3, config.stem_channels, /*kernel_size=*/3, /*stride=*/2));
  stem->push_back(ConvModule(config.stem_channels, config.stem_channels, /*kernel_size=*/3));
  stem->push_back(ConvModule(config.stem_channels, config.stem_out_channels, /*kernel_size=*/3));
  register_module("stem", stem);
  int channels = config.stem_out_channels;
  for (int i = 0; i < 4; ++i) {
    const int out = config.stage_channels[i];
    const bool last = i == 3;
    stages[i]->push_back(MakeConvUnit(config.depthwise.backbone, channels, out, /*kernel_size=*/3,
                                      /*stride=*/2));
    if (last) stages[i]->push_back(SPPBottleneck(out));
    stages[i]->push_back(CSPLayer(out, out, config.stage_blocks[i], /*add_identity=*/!last,
                                  /*use_attention=*/true, config.depthwise.backbone));
    register_module(absl::StrCat("stage", i + 1), stages[i]);
    channels = out;
  }
}

Features CSPNeXtImpl::forward(const at::Tensor& image) {
  const at::Tensor c2 = stages[0]->forward(stem->forward(image));
  const at::Tensor c3 = stages[1]->forward(c2);
  const at::Tensor c4 = stages[2]->forward(c3);
  return {c3, c4, stages[3]->forward(c4)};
}

}  // namespace detector
