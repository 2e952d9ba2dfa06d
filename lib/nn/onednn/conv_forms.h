// The two ways to compute a convolution of a graph: oneDNN's direct form and Winograd (winograd.h).
// Internal to nn/onednn.
#ifndef DUET_NN_ONEDNN_CONV_FORMS_H_
#define DUET_NN_ONEDNN_CONV_FORMS_H_

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <vector>

#include "nn/onednn/compiled_program.h"
#include "nn/onednn/conv_primitive.h"
#include "nn/onednn/graph_node.h"
#include "nn/onednn/precision.h"
#include "nn/onednn/value_layout.h"

namespace nn::onednn {

// What steps are built from: the graph, where its values lie, and the program that will own the
// memory. All must outlive it.
struct ProgramBuild {
  const std::vector<GraphNode>& nodes;
  const ValueLayout& layout;
  Precision precision;
  CompiledProgram& program;
  dnnl::memory image = {};  // the graph's input in `precision`, NCHW

  // REQUIRES: `value` is not the graph's input.
  std::byte* data(int value) const { return program.arena.get() + layout.offset(value); }
  template <typename T>
  T* data(int value) const {
    return reinterpret_cast<T*>(data(value));
  }
};

// A convolution's parameters in float32, widened to the padded channels of its input and output.
struct ConvParameters {
  at::Tensor weight;  // [out, in / groups, k, k]
  at::Tensor bias;    // [out]
};

// One way to compute a layer. Its steps write the layer's value into the program's arena.
struct ConvForm {
  std::vector<std::function<void()>> steps;
  std::size_t weight_bytes = 0;
  std::size_t scratch_bytes = 0;
  std::vector<dnnl::memory> scratchpads;  // handles that want the program's scratchpad's address
};

// Of node `value`, a convolution.
ConvGeometry GeometryOf(const ProgramBuild& build, int value);
ConvParameters WidenParameters(const ProgramBuild& build, int value);

// ChooseDirect of conv_primitive.h for a node's activation and residual.
std::optional<ConvChoice> ChooseDirect(const GraphNode& node, const ConvGeometry& geometry);

// Both are for the first `rows` rows of the layer.
ConvForm WinogradForm(const ProgramBuild& build, int value, int rows,
                      const ConvParameters& parameters);
// `choice`: ChooseDirect's for a geometry of as many rows.
ConvForm DirectForm(const ProgramBuild& build, int value, int rows, const ConvChoice& choice,
                    const ConvParameters& parameters);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_CONV_FORMS_H_
