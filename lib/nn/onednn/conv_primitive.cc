#include "nn/onednn/conv_primitive.h"

#include <string_view>

namespace nn::onednn {
namespace {

using dnnl::memory;

// oneDNN falls back to "ref" kernels, a thousand times slower, rather than refuse.
bool IsReference(const char* implementation) {
  return std::string_view(implementation).find("ref") != std::string_view::npos;
}

float AlphaOf(Activation act) {
  if (act == Activation::kLeakyRelu) return nn::kLeakySlope;
  return act == Activation::kSilu ? 1.0F : 0.0F;
}

std::optional<dnnl::convolution_forward::primitive_desc> Make(const ConvGeometry& g, Activation act,
                                                              bool residual,
                                                              const dnnl::engine& engine) {
  const memory::desc src({1, g.in_channels, g.in_height, g.in_width}, g.type, g.in_format);
  const memory::desc dst({1, g.out_channels, g.out_height, g.out_width}, g.type, g.out_format);
  const memory::dims weight_dims =
      g.groups == 1 ? memory::dims{g.out_channels, g.in_channels, g.kernel, g.kernel}
                    : memory::dims{g.groups, g.out_channels / g.groups, g.in_channels / g.groups,
                                   g.kernel, g.kernel};
  const memory::desc weights(weight_dims, g.type, memory::format_tag::any);
  const memory::desc bias({g.out_channels}, memory::data_type::f32, memory::format_tag::x);
  // Left and top as torch pads; right and bottom as far as the last output reaches.
  const int pad = (g.kernel - 1) / 2;
  const int bottom = (g.out_height - 1) * g.stride + g.kernel - g.in_height - pad;
  const int right = (g.out_width - 1) * g.stride + g.kernel - g.in_width - pad;

  dnnl::post_ops post;
  if (const auto eltwise = EltwiseOf(act)) {
    post.append_eltwise(1.0F, *eltwise, AlphaOf(act), 0.0F);
  }
  if (residual) post.append_binary(dnnl::algorithm::binary_add, dst);
  dnnl::primitive_attr attr;
  attr.set_post_ops(post);
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  try {
    const dnnl::convolution_forward::desc desc(
        dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, src, weights, bias,
        dst, {g.stride, g.stride}, {pad, pad}, {bottom, right});
    dnnl::convolution_forward::primitive_desc primitive(desc, attr, engine);
    if (IsReference(primitive.impl_info_str())) return std::nullopt;
    return primitive;
  } catch (const dnnl::error&) {  // "unimplemented": how oneDNN says no
    return std::nullopt;
  }
}

}  // namespace

std::optional<dnnl::algorithm> EltwiseOf(Activation act) {
  switch (act) {
    case Activation::kSilu:
      return dnnl::algorithm::eltwise_swish;
    case Activation::kRelu:
    case Activation::kLeakyRelu:
      return dnnl::algorithm::eltwise_relu;
    case Activation::kSigmoid:
      return dnnl::algorithm::eltwise_logistic;
    case Activation::kGelu:
      return dnnl::algorithm::eltwise_gelu_erf;
    case Activation::kNone:
    case Activation::kHardSigmoid:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<ConvChoice> ChooseFused(const ConvGeometry& geometry, Activation act, bool residual,
                                      const dnnl::engine& engine) {
  if (residual) {
    if (auto all = Make(geometry, act, true, engine)) return ConvChoice{*all, false, false};
  }
  if (auto fused = Make(geometry, act, false, engine)) return ConvChoice{*fused, false, residual};
  return ChooseBare(geometry, act, residual, engine);
}

std::optional<ConvChoice> ChooseBare(const ConvGeometry& geometry, Activation act, bool residual,
                                     const dnnl::engine& engine) {
  auto bare = Make(geometry, Activation::kNone, false, engine);
  if (!bare.has_value()) return std::nullopt;
  return ConvChoice{*bare, EltwiseOf(act).has_value(), residual};
}

}  // namespace nn::onednn
