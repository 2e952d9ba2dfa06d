#include "detector_service/packed/rtmdet_graph.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "detector_service/rtmdet/csp_layer.h"
#include "nn/batch_norm_fold.h"

namespace detector {
namespace {

using nn::onednn::Activation;
using nn::onednn::Graph;
using nn::onednn::Value;

Value Convolve(Graph& graph, const ConvModuleImpl& module, Value x,
               std::optional<Value> residual = std::nullopt) {
  const nn::FoldedConv folded = nn::FoldBatchNorm(*module.conv, *module.bn);
  return graph.Conv(x, folded.weight, folded.bias,
                    {.stride = static_cast<int>(module.conv->options.stride),
                     .groups = static_cast<int>(module.conv->options.groups),
                     .activation = Activation::kSilu,
                     .residual = residual});
}

Value Convolve(Graph& graph, const ConvUnitImpl& unit, Value x) {
  if (const auto* separable = unit.as<DepthwiseSeparableConvModuleImpl>()) {
    return Convolve(graph, *separable->pointwise_conv,
                    Convolve(graph, *separable->depthwise_conv, x));
  }
  return Convolve(graph, *unit.as<ConvModuleImpl>(), x);
}

Value Convolve(Graph& graph, const nn::Conv2dImpl& conv, Value x) {
  return graph.Conv(x, conv.weight, conv.bias, {});
}

Value Csp(Graph& graph, const CSPLayerImpl& layer, Value x) {
  const Value short_path = Convolve(graph, *layer.short_conv, x);
  Value main_path = Convolve(graph, *layer.main_conv, x);
  for (const auto& module : *layer.blocks) {
    const auto& block = *module->as<CSPNeXtBlockImpl>();
    const Value y = Convolve(graph, *block.conv1, main_path);
    const Value z = Convolve(graph, *block.conv2->depthwise_conv, y);
    main_path = Convolve(graph, *block.conv2->pointwise_conv, z,
                         block.add_identity ? std::optional(main_path) : std::nullopt);
  }
  Value joined = graph.Concat({main_path, short_path});
  if (!layer.attention.is_empty()) {
    const auto& fc = *layer.attention->fc;
    joined = graph.ChannelGate(joined, fc.weight, fc.bias, Activation::kHardSigmoid);
  }
  return Convolve(graph, *layer.final_conv, joined);
}

Value Spp(Graph& graph, const SPPBottleneckImpl& spp, Value x) {
  const Value y = Convolve(graph, *spp.conv1, x);
  // A chain of 5×5 pools gives the 9×9 and 13×13 ones exactly.
  const Value p5 = graph.MaxPool(y, 5);
  const Value p9 = graph.MaxPool(p5, 5);
  const Value p13 = graph.MaxPool(p9, 5);
  return Convolve(graph, *spp.conv2, graph.Concat({y, p5, p9, p13}));
}

Value Stage(Graph& graph, const torch::nn::Sequential& stage, Value x) {
  for (const auto& any : *stage) {
    const auto module = any.ptr();
    if (const auto* unit = module->as<ConvUnitImpl>()) {
      x = Convolve(graph, *unit, x);
    } else if (const auto* spp = module->as<SPPBottleneckImpl>()) {
      x = Spp(graph, *spp, x);
    } else {
      x = Csp(graph, *module->as<CSPLayerImpl>(), x);
    }
  }
  return x;
}

template <typename ModuleImpl>
const ModuleImpl& At(const torch::nn::ModuleList& list, int index) {
  return *list->ptr(index)->as<ModuleImpl>();
}

std::array<Value, kLevels> Neck(Graph& graph, const CSPNeXtPAFPNImpl& neck,
                                const std::array<Value, kLevels>& c) {
  const auto conv = [&](const auto& list, int i, Value x) { return Convolve(graph, *list[i], x); };
  const auto csp = [&](const std::vector<CSPLayer>& list, int i, Value a, Value b) {
    return Csp(graph, *list[i], graph.Concat({a, b}));
  };
  const Value p5 = conv(neck.reduce_layers, 0, c[2]);
  const Value t4 = csp(neck.top_down_blocks, 0, graph.Upsample2x(p5), c[1]);
  const Value p4 = conv(neck.reduce_layers, 1, t4);
  const Value o3 = csp(neck.top_down_blocks, 1, graph.Upsample2x(p4), c[0]);
  const Value o4 = csp(neck.bottom_up_blocks, 0, conv(neck.downsamples, 0, o3), p4);
  const Value o5 = csp(neck.bottom_up_blocks, 1, conv(neck.downsamples, 1, o4), p5);
  return {conv(neck.out_convs, 0, o3), conv(neck.out_convs, 1, o4), conv(neck.out_convs, 2, o5)};
}

Value Tower(Graph& graph, const torch::nn::ModuleList& towers, int level, Value x) {
  for (const auto& module : At<torch::nn::ModuleListImpl>(towers, level)) {
    x = Convolve(graph, *module->as<ConvUnitImpl>(), x);
  }
  return x;
}

Value MaskFeatures(Graph& graph, const MaskFeatModuleImpl& module,
                   const std::array<Value, kLevels>& features) {
  std::vector<Value> maps(features.begin(), features.end());
  for (int level = 1; level < kLevels; ++level) {
    maps[level] = graph.UpsampleBilinear(maps[level], kStrides[level] / kStrides[0]);
  }
  Value x = Convolve(graph, *module.fusion_conv, graph.Concat(maps));
  for (const auto& conv : *module.stacked_convs) {
    x = Convolve(graph, *conv->as<ConvModuleImpl>(), x);
  }
  return Convolve(graph, *module.projection, x);
}

void Head(Graph& graph, const RTMDetSepBNHeadImpl& head,
          const std::array<Value, kLevels>& features) {
  for (int level = 0; level < kLevels; ++level) {
    const auto predict = [&](const torch::nn::ModuleList& list, Value x) {
      graph.Output(Convolve(graph, At<nn::Conv2dImpl>(list, level), x));
    };
    const Value cls_feature = Tower(graph, head.cls_convs, level, features[level]);
    const Value reg_feature = head.reg_convs.ptr() == head.cls_convs.ptr()
                                  ? cls_feature
                                  : Tower(graph, head.reg_convs, level, features[level]);
    predict(head.rtm_cls, cls_feature);
    predict(head.rtm_reg, reg_feature);
    if (head.kind == HeadKind::kRotated) predict(head.rtm_ang, reg_feature);
    if (head.kind == HeadKind::kInstances) {
      predict(head.rtm_kernel, Tower(graph, head.kernel_convs, level, features[level]));
    }
  }
  if (head.kind == HeadKind::kInstances) {
    graph.Output(MaskFeatures(graph, *head.mask_head, features));
  }
}

}  // namespace

void BuildGraph(const RtmdetImpl& model, vision::Size input_size, Graph& graph) {
  const at::NoGradGuard no_grad;
  Value x = Stage(graph, model.backbone->stem, graph.Input(3, input_size.height, input_size.width));
  x = Stage(graph, model.backbone->stages[0], x);
  std::array<Value, kLevels> features;
  for (int level = 0; level < kLevels; ++level) {
    x = Stage(graph, model.backbone->stages[level + 1], x);
    features[level] = x;
  }
  Head(graph, *model.bbox_head, Neck(graph, *model.neck, features));
}

void BuildStemGraph(const CSPNeXtImpl& backbone, int stages, vision::Size input_size,
                    Graph& graph) {
  constexpr int kFirstRead = 1;  // the neck reads the second to the fourth
  const at::NoGradGuard no_grad;
  Value x = Stage(graph, backbone.stem, graph.Input(3, input_size.height, input_size.width));
  for (int stage = 0; stage < stages; ++stage) {
    if (stage > kFirstRead) graph.Output(x);
    x = Stage(graph, backbone.stages[stage], x);
  }
  graph.Output(x);
}

HeadLayout GraphLayoutOf(const RtmdetConfig& config) {
  HeadLayout layout = LayoutOf(config);
  layout.coding.code = config.exp_on_reg                     ? BoxCode::kLogStrideDistances
                       : config.head == HeadKind::kInstances ? BoxCode::kPositiveStrideDistances
                                                             : BoxCode::kStrideDistances;
  return layout;
}

}  // namespace detector
