// Picks and builds the oneDNN primitive of one convolution. Internal to nn/onednn.
#ifndef DUET_NN_ONEDNN_CONV_PRIMITIVE_H_
#define DUET_NN_ONEDNN_CONV_PRIMITIVE_H_

#include <oneapi/dnnl/dnnl.hpp>
#include <optional>

#include "nn/onednn/graph.h"

namespace nn::onednn {

// One convolution over physical (block-padded) channels, "same" padding.
struct ConvGeometry {
  int in_channels, out_channels;
  int in_height, in_width, out_height, out_width;
  int kernel, stride, groups;
  dnnl::memory::data_type type;
  dnnl::memory::format_tag in_format, out_format;
};

// What a primitive could not take along has to be done after it.
struct ConvChoice {
  dnnl::convolution_forward::primitive_desc desc;
  bool activation_left;
  bool residual_left;
};

// The activation as oneDNN names it; nothing for kNone or what it has no name for.
std::optional<dnnl::algorithm> EltwiseOf(Activation act);

// With the activation and the residual in it as far as oneDNN takes them without falling back to
// its reference loops; nothing if there is no other form.
std::optional<ConvChoice> ChooseFused(const ConvGeometry& geometry, Activation act, bool residual,
                                      const dnnl::engine& engine);
// The convolution alone.
std::optional<ConvChoice> ChooseBare(const ConvGeometry& geometry, Activation act, bool residual,
                                     const dnnl::engine& engine);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_CONV_PRIMITIVE_H_
