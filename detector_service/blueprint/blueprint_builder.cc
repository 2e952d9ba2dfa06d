#include "detector_service/blueprint/blueprint_builder.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <utility>

#include "nn/state_dict.h"

namespace detector {
namespace {

constexpr int kMaxKernel = 15;

}  // namespace

BlueprintBuilder::BlueprintBuilder(const checkpoint::TensorIndex& tensors,
                                   const PartActivations& activations)
    : tensors_(tensors), activations_(activations) {}

Activation BlueprintBuilder::activation(std::string_view name) const {
  return name.starts_with("backbone.") ? activations_.backbone
         : name.starts_with("neck.")   ? activations_.neck
                                       : activations_.head;
}

FeatureMap BlueprintBuilder::Add(Layer layer) {
  blueprint_.layers.push_back(std::move(layer));
  return {static_cast<int>(blueprint_.layers.size()) - 1};
}

void BlueprintBuilder::Fail(std::string what) {
  if (status_.ok()) status_ = absl::FailedPreconditionError(std::move(what));
}

NamedParameter BlueprintBuilder::Parameter(const std::string& path, std::int64_t count) {
  const checkpoint::TensorView* tensor = tensors_.Find(path);
  if (tensor == nullptr || tensor->NumElements() != count) {
    Fail(tensor == nullptr
             ? absl::StrCat("tensor '", path, "' is missing")
             : absl::StrCat("tensor '", path, "' is ", nn::ShapeString(tensor->shape),
                            " but needs ", count, count == 1 ? " number" : " numbers"));
    return {};
  }
  return {path, tensor->shape};
}

ConvBranch BlueprintBuilder::Branch(const std::string& conv, const std::string& bn, int in,
                                    int stride) {
  ConvBranch branch{.conv = conv, .bn = bn};
  const checkpoint::TensorView* weight = tensors_.Find(conv + ".weight");
  if (weight == nullptr) {
    Fail(absl::StrCat("tensor '", conv, ".weight' is missing"));
    return branch;
  }
  const auto& shape = weight->shape;
  const int out = tensors_.OutChannels(conv);
  const bool square = out > 0 && shape[2] == shape[3] && shape[2] >= 1 && shape[2] <= kMaxKernel;
  const bool depthwise = square && shape[1] == 1 && in == out && in > 1;
  if (!square || (shape[1] != in && !depthwise)) {
    Fail(absl::StrCat("tensor '", conv, ".weight' is ", nn::ShapeString(shape),
                      " but its input has ", in, " channels"));
    return branch;
  }
  const bool bias = tensors_.Has(conv + ".bias");
  if (!bn.empty() && !tensors_.Has(bn + ".weight")) {
    Fail(bias ? absl::StrCat("the batch norm of '", conv,
                             "' is folded into it: the file is made for deployment; the one that "
                             "training wrote is needed")
              : absl::StrCat("tensor '", bn, ".weight' is missing"));
  }
  branch.options = {.in_channels = in,
                    .out_channels = out,
                    .kernel_size = shape[2],
                    .stride = stride,
                    .padding = (shape[2] - 1) / 2,
                    .groups = depthwise ? in : 1,
                    .bias = bias};
  return branch;
}

FeatureMap BlueprintBuilder::Input() { return Add({.type = Layer::Type::kInput, .channels = 3}); }

FeatureMap BlueprintBuilder::ConvModule(const std::string& name, FeatureMap x,
                                        const ConvStyle& style) {
  if (tensors_.Has(name + ".depthwise_conv.conv.weight")) {
    ConvStyle rest = style;
    rest.stride = 1;
    const FeatureMap y = ConvModule(name + ".depthwise_conv", x,
                                    {.stride = style.stride, .activation = style.activation});
    return ConvModule(name + ".pointwise_conv", y, rest);
  }
  ConvBranch branch = Branch(name + ".conv", name + ".bn", channels(x), style.stride);
  Layer layer{.type = Layer::Type::kConv,
              .name = name,
              .inputs = {x.layer},
              .channels = static_cast<int>(branch.options.out_channels),
              .branches = {std::move(branch)},
              .activation = style.activation.value_or(activation(name)),
              .stride = style.stride};
  if (style.residual) layer.inputs.push_back(style.residual->layer);
  if (!style.residual_scale.empty()) layer.residual_scale = Parameter(style.residual_scale, 1);
  return Add(std::move(layer));
}

FeatureMap BlueprintBuilder::Conv(const std::string& name, FeatureMap x) {
  ConvBranch branch = Branch(name, "", channels(x), /*stride=*/1);
  return Add({.type = Layer::Type::kConv,
              .name = name,
              .inputs = {x.layer},
              .channels = static_cast<int>(branch.options.out_channels),
              .branches = {std::move(branch)}});
}

FeatureMap BlueprintBuilder::ImplicitConv(const std::string& name, FeatureMap x) {
  ConvBranch branch = Branch(name + ".1", "", channels(x), /*stride=*/1);
  branch.shift = Parameter(name + ".0.implicit", branch.options.in_channels);
  branch.scale = Parameter(name + ".2.implicit", branch.options.out_channels);
  return Add({.type = Layer::Type::kConv,
              .name = name,
              .inputs = {x.layer},
              .channels = static_cast<int>(branch.options.out_channels),
              .branches = {std::move(branch)}});
}

FeatureMap BlueprintBuilder::RepVgg(const std::string& name, FeatureMap x, const ConvStyle& style) {
  if (tensors_.Has(name + ".block.conv.weight")) return ConvModule(name + ".block", x, style);
  if (tensors_.Has(name + ".rbr_reparam.weight")) {
    Fail(absl::StrCat("the branches of '", name,
                      "' are fused (rbr_reparam): the file is made for deployment; the one that "
                      "training wrote is needed"));
  }
  Layer layer{.type = Layer::Type::kConv,
              .name = name,
              .inputs = {x.layer},
              .activation = style.activation.value_or(activation(name)),
              .stride = style.stride};
  for (const char* branch : {".rbr_dense", ".rbr_1x1"}) {
    const std::string path = name + branch;
    layer.branches.push_back(Branch(path + ".conv", path + ".bn", channels(x), style.stride));
  }
  if (tensors_.Has(name + ".alpha")) {
    layer.branches.back().scale = Parameter(name + ".alpha", 1);
    layer.branches.back().zero_scale_is_one = true;
  }
  if (tensors_.Has(name + ".rbr_identity.weight")) {
    layer.branches.push_back({.bn = name + ".rbr_identity"});
  }
  layer.channels = static_cast<int>(layer.branches.front().options.out_channels);
  if (style.residual) layer.inputs.push_back(style.residual->layer);
  if (!style.residual_scale.empty()) layer.residual_scale = Parameter(style.residual_scale, 1);
  return Add(std::move(layer));
}

FeatureMap BlueprintBuilder::UpConv(const std::string& name, FeatureMap x) {
  const checkpoint::TensorView* weight = tensors_.Find(name + ".weight");  // [in, out, 2, 2]
  if (weight == nullptr || weight->shape.size() != 4 || weight->shape[0] != channels(x) ||
      weight->shape[1] < 1 || weight->shape[2] != 2 || weight->shape[3] != 2) {
    Fail(absl::StrCat("tensor '", name, ".weight' is missing or no 2x2 of ", channels(x),
                      " channels"));
    return Add({.type = Layer::Type::kUpConv, .inputs = {x.layer}});
  }
  ConvBranch branch{.conv = name,
                    .options = {.in_channels = weight->shape[0],
                                .out_channels = weight->shape[1],
                                .kernel_size = 2,
                                .stride = 2}};
  return Add({.type = Layer::Type::kUpConv,
              .name = name,
              .inputs = {x.layer},
              .channels = static_cast<int>(weight->shape[1]),
              .branches = {std::move(branch)}});
}

FeatureMap BlueprintBuilder::ChannelGate(const std::string& conv, FeatureMap x, Activation act) {
  return Add({.type = Layer::Type::kChannelGate,
              .inputs = {x.layer},
              .channels = channels(x),
              .branches = {Branch(conv, "", channels(x), /*stride=*/1)},
              .activation = act});
}

FeatureMap BlueprintBuilder::Concat(const std::vector<FeatureMap>& parts) {
  Layer layer{.type = Layer::Type::kConcat};
  for (const FeatureMap part : parts) {
    layer.inputs.push_back(part.layer);
    layer.channels += channels(part);
  }
  return Add(std::move(layer));
}

FeatureMap BlueprintBuilder::MaxPool(FeatureMap x, int kernel, int stride) {
  return Add({.type = Layer::Type::kMaxPool,
              .inputs = {x.layer},
              .channels = channels(x),
              .kernel = kernel,
              .stride = stride});
}

FeatureMap BlueprintBuilder::Upsample(FeatureMap x) {
  return Add({.type = Layer::Type::kUpsample, .inputs = {x.layer}, .channels = channels(x)});
}

FeatureMap BlueprintBuilder::SpaceToDepth(FeatureMap x) {
  return Add(
      {.type = Layer::Type::kSpaceToDepth, .inputs = {x.layer}, .channels = 4 * channels(x)});
}

std::array<FeatureMap, 2> BlueprintBuilder::Halves(FeatureMap conv) {
  const int half = channels(conv) / 2;
  const auto slice = [&](int begin, int count) {
    return Add(
        {.type = Layer::Type::kSlice, .inputs = {conv.layer}, .channels = count, .begin = begin});
  };
  const FeatureMap first = slice(0, half);
  return {first, slice(half, channels(conv) - half)};
}

int BlueprintBuilder::Output(FeatureMap x) {
  blueprint_.outputs.push_back(x.layer);
  return static_cast<int>(blueprint_.outputs.size()) - 1;
}

absl::StatusOr<Blueprint> BlueprintBuilder::Finish() && {
  if (!status_.ok()) return status_;
  return std::move(blueprint_);
}

}  // namespace detector
