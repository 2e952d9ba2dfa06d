#include "detector_service/packed/blueprint_graph.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <cstddef>
#include <vector>

namespace detector {
namespace {

using nn::onednn::Graph;
using nn::onednn::Value;

// A convolution over SpaceToDepth's four images as one of twice the kernel and stride over the
// image itself: [out, 4 · in, k, k] → [out, in, 2k, 2k].
at::Tensor OverTheImage(const at::Tensor& weight) {
  const std::int64_t in = weight.size(1) / 4;
  const std::int64_t kernel = weight.size(2);
  at::Tensor whole = at::zeros({weight.size(0), in, 2 * kernel, 2 * kernel});
  for (int part = 0; part < 4; ++part) {  // row part % 2, column part / 2
    whole.slice(2, part % 2, {}, 2)
        .slice(3, part / 2, {}, 2)
        .copy_(weight.narrow(1, part * in, in));
  }
  return whole;
}

class GraphBuilder {
 public:
  GraphBuilder(const BlueprintModuleImpl& module, Graph& graph)
      : module_(module),
        layers_(module.blueprint.layers),
        graph_(graph),
        values_(layers_.size()),
        only_sliced_(layers_.size(), true) {
    for (const Layer& layer : layers_) {
      if (layer.type == Layer::Type::kSlice) continue;
      for (const int input : layer.inputs) only_sliced_[input] = false;
    }
    for (const int output : module.blueprint.outputs) only_sliced_[output] = false;
  }

  void Build(vision::Size input_size) {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      values_[i] = Lower(static_cast<int>(i), input_size);
    }
    for (const int output : module_.blueprint.outputs) graph_.Output(values_[output]);
  }

 private:
  Value Lower(int index, vision::Size input_size) {
    const Layer& layer = layers_[index];
    const auto input = [&](int i) { return values_[layer.inputs[i]]; };
    switch (layer.type) {
      case Layer::Type::kInput:
        return graph_.Input(layer.channels, input_size.height, input_size.width);
      case Layer::Type::kConv:
        // Each slice makes its own part.
        return only_sliced_[index] ? Value{} : Convolve(index, 0, layer.channels);
      case Layer::Type::kSlice:
        return Convolve(layer.inputs[0], layer.begin, layer.channels);
      case Layer::Type::kUpConv: {
        const nn::FoldedConv conv = module_.Fold(index);
        return graph_.UpConv(input(0), conv.weight, conv.bias);
      }
      case Layer::Type::kConcat: {
        std::vector<Value> parts;
        for (const int part : layer.inputs) parts.push_back(values_[part]);
        return graph_.Concat(parts);
      }
      case Layer::Type::kMaxPool:
        return graph_.MaxPool(input(0), layer.kernel, layer.stride);
      case Layer::Type::kUpsample:
        return graph_.Upsample2x(input(0));
      case Layer::Type::kSpaceToDepth:
        return input(0);  // its convolution reads the image
      case Layer::Type::kChannelGate: {
        const nn::FoldedConv conv = module_.Fold(index);
        return graph_.ChannelGate(input(0), conv.weight, conv.bias, layer.activation);
      }
    }
    return {};
  }

  // Output channels [begin, begin + count) of a kConv.
  Value Convolve(int index, int begin, int count) {
    const Layer& layer = layers_[index];
    nn::FoldedConv conv = module_.Fold(index);
    int stride = layer.stride;
    if (layers_[layer.inputs[0]].type == Layer::Type::kSpaceToDepth) {
      conv.weight = OverTheImage(conv.weight);
      stride *= 2;
    }
    const bool depthwise = conv.weight.size(1) == 1 && layer.channels > 1 &&
                           layers_[layer.inputs[0]].channels == layer.channels;
    nn::onednn::ConvOptions options{
        .stride = stride, .groups = depthwise ? layer.channels : 1, .activation = layer.activation};
    if (layer.inputs.size() > 1) {
      options.residual = values_[layer.inputs[1]];
      options.residual_scale = module_.ResidualScale(index);
    }
    return graph_.Conv(values_[layer.inputs[0]], conv.weight.narrow(0, begin, count),
                       conv.bias.narrow(0, begin, count), options);
  }

  const BlueprintModuleImpl& module_;
  const std::vector<Layer>& layers_;
  Graph& graph_;
  std::vector<Value> values_;
  std::vector<bool> only_sliced_;
};

}  // namespace

void BuildGraph(const BlueprintModuleImpl& module, vision::Size input_size, Graph& graph) {
  const at::NoGradGuard no_grad;
  GraphBuilder(module, graph).Build(input_size);
}

}  // namespace detector
