// A Blueprint is a detector's network as a list of layers that name the tensors they compute with.
//
// Both forms of a network are made from it, the plain modules (blueprint_module.h) and the packed
// form (packed/blueprint_graph.h), so that a network is written down once. A family's description
// (families/) builds it over a checkpoint's tensor names and shapes (blueprint_builder.h): widths,
// depths and variants are read from the tensors.
#ifndef DUET_DETECTOR_SERVICE_BLUEPRINT_BLUEPRINT_H_
#define DUET_DETECTOR_SERVICE_BLUEPRINT_BLUEPRINT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "detector_service/blueprint/head_layout.h"
#include "nn/activation.h"
#include "nn/layers.h"

namespace detector {

using nn::Activation;

// A parameter that belongs to no layer of nn/layers.h. The path is empty if there is none.
struct NamedParameter {
  std::string path;
  std::vector<std::int64_t> shape;
};

// One of the parallel branches of a convolution: y = scale · bn(conv(x + shift)). Parts that are
// not named are left out.
struct ConvBranch {
  std::string conv;  // path of weight and bias
  nn::Conv2dOptions options;
  std::string bn;        // path of a batch norm
  NamedParameter shift;  // [1, in, 1, 1]; before a 1×1 only
  NamedParameter scale;  // one number, or one per channel
  // Upstream's `if self.alpha` takes a scale of exactly 0 for none.
  bool zero_scale_is_one = false;
};

struct Layer {
  enum class Type {
    kInput,         // the image
    kConv,          // act(sum of branches of inputs[0]) [+ residual_scale · inputs[1]]
    kUpConv,        // transposed convolution 2×2, stride 2, with bias
    kConcat,        // along channels
    kMaxPool,       // kernel and stride; padded by (kernel - 1) / 2
    kUpsample,      // nearest neighbour, twice the size
    kSlice,         // `channels` channels from `begin` on, of a kConv without residual
    kSpaceToDepth,  // four half-size images: [::2, ::2], [1::2, ::2], [::2, 1::2], [1::2, 1::2]
    kChannelGate,   // x · act(conv(mean over pixels of x)), a 1×1 with bias
  };
  Type type;
  std::string name;         // of the module whose result it is; may be empty
  std::vector<int> inputs;  // earlier layers
  int channels = 0;         // of the result

  std::vector<ConvBranch> branches;  // kConv; kUpConv and kChannelGate: one
  Activation activation = Activation::kNone;
  NamedParameter residual_scale;
  int kernel = 0;  // kMaxPool
  int stride = 1;  // kMaxPool, and of all branches of a kConv
  int begin = 0;   // kSlice
};

// What batch norms add to the variance, by the part of the network.
struct BatchNormEps {
  double backbone = 1e-3;
  double neck = 1e-3;
  double head = 1e-3;

  // Of the batch norm at `path`.
  double Of(std::string_view path) const {
    return path.starts_with("backbone.") ? backbone : path.starts_with("neck.") ? neck : head;
  }
};

struct Blueprint {
  std::vector<Layer> layers;  // in an order of computation
  std::vector<int> outputs;   // layers
  HeadLayout head;
  BatchNormEps bn_eps;
  double bn_momentum = 0.03;
  // All names of the state in its order, so that it is saved in the order it was read.
  std::vector<std::string> state_names;
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_BLUEPRINT_BLUEPRINT_H_
