#include "detector_service/rtmdet/neck.h"

#include <absl/strings/str_cat.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "nn/module_path.h"

namespace detector {

CSPNeXtPAFPNImpl::CSPNeXtPAFPNImpl(const RtmdetConfig& config) {
  const int c3 = config.stage_channels[1];
  const int c4 = config.stage_channels[2];
  const int c5 = config.stage_channels[3];
  const RtmdetNames& names = NamesOf(config.naming);
  const bool depthwise = config.depthwise.neck;
  const auto place = [&](const std::string& name, std::shared_ptr<torch::nn::Module> module) {
    nn::RegisterAt(*this, name.substr(std::string_view("neck.").size()), std::move(module));
  };
  const auto add = [&](const std::string& name, const auto& module) {
    place(name, module.ptr());
    return module;
  };
  const auto add_unit = [&](const std::string& name, ConvUnit unit) {
    place(name, unit);
    return unit;
  };
  const auto csp = [&](int in, int out) {
    return CSPLayer(in, out, config.neck_blocks, /*add_identity=*/false, /*use_attention=*/false,
                    depthwise);
  };
  const auto top_down = [&](int i, int in, int out) {
    top_down_blocks.push_back(add(names.top_down[i], csp(in, out)));
  };
  const auto reduce = [&](int i, int in, int out) {
    reduce_layers.push_back(add(names.reduce[i], ConvModule(in, out, /*kernel_size=*/1)));
  };
  // The order is that of the state's names.
  reduce(0, c5, c4);
  if (config.naming == Naming::kMmdet) reduce(1, c4, c3);
  top_down(0, 2 * c4, c4);
  if (config.naming == Naming::kMmyolo) reduce(1, c4, c3);
  top_down(1, 2 * c3, c3);
  for (int channels : {c3, c4}) {
    downsamples.push_back(
        add_unit(absl::StrCat(names.downsample, ".", downsamples.size()),
                 MakeConvUnit(depthwise, channels, channels, /*kernel_size=*/3, /*stride=*/2)));
  }
  for (const auto& [in, out] : {std::pair(2 * c3, c4), std::pair(2 * c4, c5)}) {
    bottom_up_blocks.push_back(
        add(absl::StrCat(names.bottom_up, ".", bottom_up_blocks.size()), csp(in, out)));
  }
  for (int channels : {c3, c4, c5}) {
    out_convs.push_back(
        add_unit(absl::StrCat(names.out, ".", out_convs.size()),
                 MakeConvUnit(depthwise, channels, config.neck_channels, /*kernel_size=*/3)));
  }
}

Features CSPNeXtPAFPNImpl::forward(const Features& c) {
  const auto upsample = [](const at::Tensor& x) {
    return at::upsample_nearest2d(x, {x.size(2) * 2, x.size(3) * 2});
  };
  const at::Tensor p5 = reduce_layers[0](c[2]);
  const at::Tensor t4 = top_down_blocks[0](at::cat({upsample(p5), c[1]}, 1));
  const at::Tensor p4 = reduce_layers[1](t4);
  const at::Tensor o3 = top_down_blocks[1](at::cat({upsample(p4), c[0]}, 1));
  // The way back up joins the reduced maps p4 and p5, not t4 and c5.
  const at::Tensor o4 = bottom_up_blocks[0](at::cat({downsamples[0]->forward(o3), p4}, 1));
  const at::Tensor o5 = bottom_up_blocks[1](at::cat({downsamples[1]->forward(o4), p5}, 1));
  return {out_convs[0]->forward(o3), out_convs[1]->forward(o4), out_convs[2]->forward(o5)};
}

}  // namespace detector
