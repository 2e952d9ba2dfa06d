// Graph: a convolutional network as values and operations, compiled into oneDNN primitives for one
// input size.
//
// LibTorch's operators leave a good part of this machine unused: each activation is a pass of its
// own, weights are reordered on every call and stride-1 3×3 convolutions never use Winograd. A
// Graph is built once from folded weights and compiled into a Program: weights prepacked,
// activations and residual additions fused, concatenation for free, one arena for all intermediate
// tensors.
//
// Batch is 1. Channel counts that are no multiple of 16 (8 below AVX-512) are padded with zeros,
// part by part; weights are widened to match.
#ifndef DUET_NN_ONEDNN_GRAPH_H_
#define DUET_NN_ONEDNN_GRAPH_H_

#include <ATen/core/Tensor.h>
#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <vector>

#include "nn/activation.h"
#include "nn/onednn/precision.h"
#include "nn/onednn/program.h"

namespace nn::onednn {

using nn::Activation;

// A tensor of the graph. Cheap handle; only meaningful for the Graph that made it.
struct Value {
  int index = -1;
};

struct ConvOptions {
  int stride = 1;
  // 1, or the number of channels (depthwise).
  int groups = 1;
  Activation activation = Activation::kNone;
  // Added after the activation, times residual_scale; of the result's shape.
  std::optional<Value> residual;
  float residual_scale = 1;
};

// How the tensors between two operations lie in memory.
enum class Layout {
  // nChw16c (8c below AVX-512). A slice of whole channel blocks is itself a dense tensor, so every
  // input of a Concat is written straight into its place.
  kBlocked,
  // NHWC: the only layout in which oneDNN multiplies convolutions in tiles (AMX). A Concat is a
  // copy.
  kChannelsLast,
};

// The ways to compute a convolution.
enum class ConvKernel {
  kFused,     // oneDNN's direct form, activation and residual in it where it takes them
  kDirect,    // the same without; activation and residual in a pass of our own (activation.h)
  kWinograd,  // F(4×4, 3×3), stride-1 3×3 in the blocked layout only (winograd.h)
};

struct CompileOptions {
  Precision precision = Precision::kFloat32;
  // Absent: channels-last for bf16 on CPUs with AMX, blocked otherwise.
  std::optional<Layout> layout;
  // Of all layers that it suits, kDirect of the others. Absent: of each layer the one that the
  // process's kernel plan says, which times all of them once for each distinct layer, about 30 ms
  // (kernel_plan.h).
  std::optional<ConvKernel> kernel;
};

struct GraphNode;

// Not thread-safe. Tensors passed in are float32 and kept (by reference) until Compile.
class Graph {
 public:
  Graph();
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // The image, [1, channels, height, width] float32; just one per graph.
  Value Input(int channels, int height, int width);
  // 2-D convolution with "same" padding (k - 1) / 2. `weight` [out, in / groups, k, k]; `bias`
  // [out] or undefined.
  Value Conv(Value x, const at::Tensor& weight, const at::Tensor& bias, const ConvOptions& options);
  // Along channels.
  Value Concat(const std::vector<Value>& parts);
  // "Same" padding with -inf: (k - 1) / 2.
  Value MaxPool(Value x, int kernel, int stride = 1);
  // Nearest neighbour, both axes ×2.
  Value Upsample2x(Value x);
  // Bilinear (align_corners=False), both axes × `factor`.
  Value UpsampleBilinear(Value x, int factor);
  // Transposed convolution, kernel 2×2, stride 2. `weight` [in, out, 2, 2], `bias` [out].
  Value UpConv(Value x, const at::Tensor& weight, const at::Tensor& bias);
  // x · act(fc(mean over pixels of x)), fc a 1×1 convolution [C, C, 1, 1] with bias:
  // squeeze-and-excitation.
  Value ChannelGate(Value x, const at::Tensor& weight, const at::Tensor& bias, Activation act);
  // Marks a result; Program::output(i) follows the order of these calls.
  void Output(Value x);

  // Unimplemented for what oneDNN has no fast kernel for on this CPU (run the plain modules then).
  // The weights are copied: the tensors may go afterwards. REQUIRES: at least one output.
  absl::StatusOr<std::unique_ptr<Program>> Compile(const CompileOptions& options) const;

 private:
  std::vector<GraphNode> nodes_;
  std::vector<int> outputs_;
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_GRAPH_H_
