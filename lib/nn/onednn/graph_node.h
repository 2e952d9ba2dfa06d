// What Graph remembers of each value, for the compiler. Internal to nn/onednn.
#ifndef DUET_NN_ONEDNN_GRAPH_NODE_H_
#define DUET_NN_ONEDNN_GRAPH_NODE_H_

#include <ATen/core/Tensor.h>

#include <vector>

#include "nn/onednn/graph.h"

namespace nn::onednn {

enum class Operation {
  kInput,
  kConv,
  kConcat,
  kMaxPool,
  kUpsample2x,
  kUpsampleBilinear,
  kInterleave2x,
  kChannelGate
};

// One operation and the value that it computes. Values are numbered by their places in the list of
// nodes.
struct GraphNode {
  Operation operation;
  std::vector<int> inputs;  // values; all smaller than the node's own
  int channels;
  int height;
  int width;
  at::Tensor weight;
  at::Tensor bias;
  ConvOptions conv;                         // kConv
  int kernel = 0;                           // kMaxPool
  int stride = 1;                           // kMaxPool
  int factor = 0;                           // kUpsampleBilinear
  Activation gate_act = Activation::kNone;  // kChannelGate
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_GRAPH_NODE_H_
