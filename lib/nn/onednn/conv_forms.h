// The ways to compute a convolution of a graph (ConvKernel in graph.h), as steps of a program.
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
#include "nn/onednn/graph.h"
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
  dnnl::memory image = {};  // the graph's input in `precision` and the layout's input_format()

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
  std::vector<dnnl::memory> scratches;  // that want the scratchpad
};

ConvParameters WidenParameters(const ProgramBuild& build, int value);

// Whether the kernel can compute node `value`, a convolution, as far as its shape tells.
bool Suits(const ProgramBuild& build, int value, ConvKernel kernel);

// The first `rows` rows of node `value`. Nothing if oneDNN has no fast kernel for it on this CPU.
// REQUIRES: the kernel suits.
std::optional<ConvForm> MakeForm(const ProgramBuild& build, int value, int rows, ConvKernel kernel,
                                 const ConvParameters& parameters);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_CONV_FORMS_H_
