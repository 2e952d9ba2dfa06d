// A Blueprint is a detector's network as a list of layers that name the tensors they compute with.
//
// It is what the plain modules (blueprint_module.h) and the packed form (packed/blueprint_graph.h)
// are both made of, so that a network is written down once. A family's description (families/)
// drafts it over a checkpoint's tensor names and shapes (draft.h): widths, depths and variants are
// what the tensors show.
#ifndef DUET_DETECTOR_SERVICE_MODEL_BLUEPRINT_H_
#define DUET_DETECTOR_SERVICE_MODEL_BLUEPRINT_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "detector_service/model/box_coding.h"
#include "nn/activation.h"
#include "nn/layers.h"

namespace detector {

using nn::Activation;

// A parameter that belongs to no layer of nn/layers.h. An empty path: there is none.
struct NamedParameter {
  std::string path;
  std::vector<std::int64_t> shape;
};

// One way through a convolution: y = scale · bn(conv(x + shift)), each part only if it is named.
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
  enum class Kind {
    kInput,         // the picture
    kConv,          // act(sum of branches of inputs[0]) [+ residual_scale · inputs[1]]
    kUpConv,        // transposed convolution 2×2, stride 2, with bias
    kConcat,        // along channels
    kMaxPool,       // kernel and stride; padded by (kernel - 1) / 2
    kUpsample,      // nearest neighbour, twice the size
    kSlice,         // `channels` channels from `begin` on, of a kConv without residual
    kSpaceToDepth,  // four half-size pictures: [::2, ::2], [1::2, ::2], [::2, 1::2], [1::2, 1::2]
    kChannelGate,   // x · act(conv(mean over pixels of x)), a 1×1 with bias
  };
  Kind kind;
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

// Where in a head's output maps a level's numbers are: which output, and which channel of its row.
struct HeadSlot {
  int output = -1;  // -1: the head has no such thing
  int channel = 0;
};

// What the outputs mean. A cell has coding.per_cell() rows, which share its channels evenly.
struct HeadLayout {
  struct Level {
    HeadSlot logits;
    HeadSlot boxes;
    HeadSlot objectness;
  };
  int num_classes = 0;
  BoxCoding coding;
  std::array<Level, kLevels> levels;
};

struct Blueprint {
  std::vector<Layer> layers;  // in an order of computation
  std::vector<int> outputs;   // layers
  HeadLayout head;
  double bn_eps = 1e-3;
  double bn_momentum = 0.03;
  // All names of the state in its order, so that it is saved in the order it was read.
  std::vector<std::string> state_names;
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_MODEL_BLUEPRINT_H_
