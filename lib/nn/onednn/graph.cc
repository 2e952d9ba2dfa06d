#include "nn/onednn/graph.h"

#include <ATen/TensorOperators.h>

#include "nn/onednn/graph_node.h"

namespace nn::onednn {

Graph::Graph() = default;
Graph::~Graph() = default;

Value Graph::Input(int channels, int height, int width) {
  nodes_.push_back(
      {.operation = Operation::kInput, .channels = channels, .height = height, .width = width});
  return {static_cast<int>(nodes_.size()) - 1};
}

Value Graph::Conv(Value x, const at::Tensor& weight, const at::Tensor& bias,
                  const ConvOptions& options) {
  const GraphNode& in = nodes_[x.index];
  GraphNode node{.operation = Operation::kConv,
                 .inputs = {x.index},
                 .channels = static_cast<int>(weight.size(0)),
                 .height = (in.height + options.stride - 1) / options.stride,
                 .width = (in.width + options.stride - 1) / options.stride,
                 .weight = weight,
                 .bias = bias,
                 .conv = options};
  if (options.residual.has_value()) node.inputs.push_back(options.residual->index);
  nodes_.push_back(std::move(node));
  return {static_cast<int>(nodes_.size()) - 1};
}

Value Graph::Concat(const std::vector<Value>& parts) {
  const GraphNode& first = nodes_[parts.front().index];
  GraphNode node{
      .operation = Operation::kConcat, .channels = 0, .height = first.height, .width = first.width};
  for (const Value part : parts) {
    node.inputs.push_back(part.index);
    node.channels += nodes_[part.index].channels;
  }
  nodes_.push_back(std::move(node));
  return {static_cast<int>(nodes_.size()) - 1};
}

Value Graph::MaxPool(Value x, int kernel, int stride) {
  const GraphNode in = nodes_[x.index];
  nodes_.push_back({.operation = Operation::kMaxPool,
                    .inputs = {x.index},
                    .channels = in.channels,
                    .height = (in.height + stride - 1) / stride,
                    .width = (in.width + stride - 1) / stride,
                    .kernel = kernel,
                    .stride = stride});
  return {static_cast<int>(nodes_.size()) - 1};
}

Value Graph::Upsample2x(Value x) {
  const GraphNode in = nodes_[x.index];
  nodes_.push_back({.operation = Operation::kUpsample2x,
                    .inputs = {x.index},
                    .channels = in.channels,
                    .height = 2 * in.height,
                    .width = 2 * in.width});
  return {static_cast<int>(nodes_.size()) - 1};
}

Value Graph::UpsampleBilinear(Value x, int factor) {
  const GraphNode in = nodes_[x.index];
  nodes_.push_back({.operation = Operation::kUpsampleBilinear,
                    .inputs = {x.index},
                    .channels = in.channels,
                    .height = factor * in.height,
                    .width = factor * in.width,
                    .factor = factor});
  return {static_cast<int>(nodes_.size()) - 1};
}

// Where a stride equals the kernel no two taps meet: each of the four is a 1×1 of its own, and the
// result has their pixels in turn.
Value Graph::UpConv(Value x, const at::Tensor& weight, const at::Tensor& bias) {
  std::vector<int> taps;
  for (int i = 0; i < 4; ++i) {
    const at::Tensor tap = weight.select(3, i % 2).select(2, i / 2).t();  // [out, in]
    taps.push_back(Conv(x, tap.reshape({weight.size(1), weight.size(0), 1, 1}), bias, {}).index);
  }
  const GraphNode in = nodes_[x.index];
  nodes_.push_back({.operation = Operation::kInterleave2x,
                    .inputs = taps,
                    .channels = static_cast<int>(weight.size(1)),
                    .height = 2 * in.height,
                    .width = 2 * in.width});
  return {static_cast<int>(nodes_.size()) - 1};
}

Value Graph::ChannelGate(Value x, const at::Tensor& weight, const at::Tensor& bias,
                         Activation act) {
  const GraphNode in = nodes_[x.index];
  nodes_.push_back({.operation = Operation::kChannelGate,
                    .inputs = {x.index},
                    .channels = in.channels,
                    .height = in.height,
                    .width = in.width,
                    .weight = weight,
                    .bias = bias,
                    .gate_act = act});
  return {static_cast<int>(nodes_.size()) - 1};
}

void Graph::Output(Value x) { outputs_.push_back(x.index); }

}  // namespace nn::onednn
