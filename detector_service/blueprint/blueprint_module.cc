#include "detector_service/blueprint/blueprint_module.h"

#include <ATen/Functions.h>
#include <ATen/TensorIndexing.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "nn/module_path.h"

namespace detector {
namespace {

at::Tensor Activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kSilu:
      return at::silu(x);
    case Activation::kRelu:
      return at::relu(x);
    case Activation::kLeakyRelu:
      return at::leaky_relu(x, nn::kLeakySlope);
    case Activation::kSigmoid:
      return at::sigmoid(x);
    case Activation::kHardSigmoid:
      return at::hardsigmoid(x);
    case Activation::kGelu:
      return at::gelu(x);
  }
  return x;
}

at::Tensor EffectiveScale(const ConvBranch& branch, const at::Tensor& scale) {
  return branch.zero_scale_is_one ? at::where(scale == 0, at::ones_like(scale), scale) : scale;
}

at::Tensor SpaceToDepth(const at::Tensor& x) {
  using at::indexing::Slice;
  const auto part = [&](int row, int column) {
    return x.index({Slice(), Slice(), Slice(row, at::indexing::None, 2),
                    Slice(column, at::indexing::None, 2)});
  };
  return at::cat({part(0, 0), part(1, 0), part(0, 1), part(1, 1)}, 1);
}

// The path without its last name, which is a parameter's.
std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('.')); }

}  // namespace

BlueprintModuleImpl::BlueprintModuleImpl(Blueprint from) : blueprint(std::move(from)) {
  states_.resize(blueprint.layers.size());
  for (std::size_t i = 0; i < states_.size(); ++i) {
    MakeBranches(blueprint.layers[i], &states_[i]);
    for (const int input : blueprint.layers[i].inputs) {
      states_[input].last_use = static_cast<int>(i);
    }
  }
  for (const int output : blueprint.outputs) {
    states_[output].last_use = static_cast<int>(states_.size());
  }
  Register();
}

void BlueprintModuleImpl::MakeBranches(const Layer& layer, LayerState* state) {
  const auto parameter = [](const NamedParameter& p) {
    return p.path.empty() ? at::Tensor() : at::ones(p.shape).set_requires_grad(true);
  };
  state->residual_scale = parameter(layer.residual_scale);
  for (const ConvBranch& described : layer.branches) {
    if (layer.type == Layer::Type::kUpConv) {
      state->up_conv =
          nn::ConvTranspose2d(described.options.in_channels, described.options.out_channels,
                              described.options.kernel_size);
      continue;
    }
    Branch branch{.shift = parameter(described.shift), .scale = parameter(described.scale)};
    if (!described.conv.empty()) branch.conv = nn::Conv2d(described.options);
    if (!described.bn.empty()) {
      branch.bn =
          nn::BatchNorm2d(layer.channels, blueprint.bn_eps.Of(described.bn), blueprint.bn_momentum);
    }
    state->branches.push_back(std::move(branch));
  }
}

// In the order of the state's names, whatever the order of computation.
void BlueprintModuleImpl::Register() {
  std::map<std::string, std::shared_ptr<torch::nn::Module>> modules;
  std::map<std::string, at::Tensor> parameters;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const Layer& layer = blueprint.layers[i];
    const LayerState& state = states_[i];
    if (state.residual_scale.defined())
      parameters[layer.residual_scale.path] = state.residual_scale;
    if (state.up_conv) modules[layer.branches[0].conv] = state.up_conv.ptr();
    for (std::size_t b = 0; b < state.branches.size(); ++b) {
      const ConvBranch& described = layer.branches[b];
      const Branch& branch = state.branches[b];
      if (branch.conv) modules[described.conv] = branch.conv.ptr();
      if (branch.bn) modules[described.bn] = branch.bn.ptr();
      if (branch.shift.defined()) parameters[described.shift.path] = branch.shift;
      if (branch.scale.defined()) parameters[described.scale.path] = branch.scale;
    }
  }
  for (const std::string& name : blueprint.state_names) {
    const std::string parent = ParentOf(name);
    if (auto module = modules.extract(parent)) {
      nn::RegisterAt(*this, parent, std::move(module.mapped()));
    } else if (auto parameter = parameters.extract(name)) {
      nn::ModuleAt(*this, parent)
          .register_parameter(name.substr(parent.size() + 1), std::move(parameter.mapped()));
    }
  }
}

at::Tensor BlueprintModuleImpl::RunConv(const Layer& layer, LayerState& state,
                                        const at::Tensor& x) {
  at::Tensor sum;
  for (std::size_t b = 0; b < state.branches.size(); ++b) {
    Branch& branch = state.branches[b];
    at::Tensor y = branch.shift.defined() ? x + branch.shift : x;
    if (branch.conv) y = branch.conv->forward(y);
    if (branch.bn) y = branch.bn->forward(y);
    if (branch.scale.defined()) y = y * EffectiveScale(layer.branches[b], branch.scale);
    sum = sum.defined() ? sum + y : y;
  }
  return sum;
}

at::Tensor BlueprintModuleImpl::Run(const Layer& layer, LayerState& state,
                                    const std::vector<at::Tensor>& values) {
  const at::Tensor& x = values[layer.inputs[0]];
  switch (layer.type) {
    case Layer::Type::kInput:
      break;
    case Layer::Type::kConv: {
      const at::Tensor y = Activate(layer.activation, RunConv(layer, state, x));
      if (layer.inputs.size() == 1) return y;
      const at::Tensor& residual = values[layer.inputs[1]];
      return y + (state.residual_scale.defined() ? state.residual_scale * residual : residual);
    }
    case Layer::Type::kUpConv:
      return state.up_conv->forward(x);
    case Layer::Type::kConcat: {
      std::vector<at::Tensor> parts;
      for (const int input : layer.inputs) parts.push_back(values[input]);
      return at::cat(parts, 1);
    }
    case Layer::Type::kMaxPool:
      return at::max_pool2d(x, layer.kernel, layer.stride, (layer.kernel - 1) / 2);
    case Layer::Type::kUpsample:
      return at::upsample_nearest2d(x, {x.size(2) * 2, x.size(3) * 2});
    case Layer::Type::kSlice:
      return x.narrow(1, layer.begin, layer.channels);
    case Layer::Type::kSpaceToDepth:
      return SpaceToDepth(x);
    case Layer::Type::kChannelGate:
      return x * Activate(layer.activation, RunConv(layer, state, at::mean(x, {2, 3}, true)));
  }
  return x;
}

std::vector<at::Tensor> BlueprintModuleImpl::forward(const at::Tensor& images,
                                                     const Observer& observe) {
  std::vector<at::Tensor> values(states_.size());
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const Layer& layer = blueprint.layers[i];
    values[i] = layer.type == Layer::Type::kInput ? images : Run(layer, states_[i], values);
    if (observe) observe(layer, values[i]);
    for (const int input : layer.inputs) {
      if (states_[input].last_use == static_cast<int>(i)) values[input].reset();
    }
  }
  std::vector<at::Tensor> outputs;
  for (const int output : blueprint.outputs) outputs.push_back(values[output]);
  return outputs;
}

nn::FoldedConv BlueprintModuleImpl::Fold(int index) const {
  const Layer& layer = blueprint.layers[index];
  const LayerState& state = states_[index];
  std::int64_t kernel = 1;
  for (const ConvBranch& described : layer.branches) {
    if (!described.conv.empty()) kernel = std::max(kernel, described.options.kernel_size);
  }
  nn::FoldedConv folded;
  for (std::size_t b = 0; b < state.branches.size(); ++b) {
    const Branch& branch = state.branches[b];
    at::Tensor weight =
        branch.conv
            ? branch.conv->weight.to(at::kDouble)
            : at::eye(layer.channels, at::kDouble).reshape({layer.channels, layer.channels, 1, 1});
    at::Tensor bias = branch.conv && branch.conv->bias.defined()
                          ? branch.conv->bias.to(at::kDouble)
                          : at::zeros({layer.channels}, at::kDouble);
    if (branch.shift.defined()) {
      bias = bias + at::matmul(weight.flatten(1), branch.shift.to(at::kDouble).flatten());
    }
    at::Tensor scale = at::ones({layer.channels}, at::kDouble);
    if (branch.bn) {
      const nn::BatchNorm2dImpl& bn = *branch.bn;
      scale = bn.weight.to(at::kDouble) / at::sqrt(bn.running_var.to(at::kDouble) + bn.eps);
      bias = (bias - bn.running_mean.to(at::kDouble)) * scale + bn.bias.to(at::kDouble);
    }
    if (branch.scale.defined()) {
      const at::Tensor factor =
          EffectiveScale(layer.branches[b], branch.scale).to(at::kDouble).flatten();
      scale = scale * factor;
      bias = bias * factor;
    }
    weight = weight * scale.reshape({-1, 1, 1, 1});
    const std::int64_t pad = (kernel - weight.size(2)) / 2;
    weight = at::constant_pad_nd(weight, {pad, pad, pad, pad});
    folded.weight = folded.weight.defined() ? folded.weight + weight : weight;
    folded.bias = folded.bias.defined() ? folded.bias + bias : bias;
  }
  if (state.up_conv) folded = {state.up_conv->weight, state.up_conv->bias};
  return {folded.weight.to(at::kFloat).contiguous(), folded.bias.to(at::kFloat).contiguous()};
}

float BlueprintModuleImpl::ResidualScale(int layer) const {
  const at::Tensor& scale = states_[layer].residual_scale;
  return scale.defined() ? scale.item<float>() : 1.0F;
}

}  // namespace detector
