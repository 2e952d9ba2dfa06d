#include "nn/onednn/conv_forms.h"

#include <ATen/Functions.h>
#include <omp.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>

#include "nn/onednn/elementwise.h"
#include "nn/onednn/winograd.h"

namespace nn::onednn {

using dnnl::memory;

ConvGeometry GeometryOf(const ProgramBuild& build, int value) {
  const GraphNode& node = build.nodes[value];
  const int in = node.inputs[0];
  const bool reads_image = build.nodes[in].operation == Operation::kInput;
  const int out_channels = build.layout.channels(value).padded();
  const auto blocked =
      build.layout.block() == 16 ? memory::format_tag::nChw16c : memory::format_tag::nChw8c;
  return {
      .in_channels = build.layout.channels(in).padded(),
      .out_channels = out_channels,
      .in_height = build.nodes[in].height,
      .in_width = build.nodes[in].width,
      .out_height = node.height,
      .out_width = node.width,
      .kernel = static_cast<int>(node.weight.size(2)),
      .stride = node.conv.stride,
      .groups = node.conv.groups > 1 ? out_channels : 1,
      .type = DataTypeOf(build.precision),
      .in_format = reads_image ? memory::format_tag::nchw : blocked,
      .out_format = blocked,
  };
}

ConvParameters WidenParameters(const ProgramBuild& build, int value) {
  const GraphNode& node = build.nodes[value];
  const Channels& out = build.layout.channels(value);
  at::Tensor weight = Widen(node.weight.to(at::kFloat), 0, out);
  if (node.conv.groups == 1) weight = Widen(weight, 1, build.layout.channels(node.inputs[0]));
  const at::Tensor bias =
      node.bias.defined() ? node.bias.to(at::kFloat) : at::zeros({node.channels});
  return {weight, Widen(bias, 0, out)};
}

std::optional<ConvChoice> ChooseDirect(const GraphNode& node, const ConvGeometry& geometry) {
  // oneDNN adds, but does not scale what it adds.
  const bool residual = node.conv.residual.has_value();
  const bool fusible = residual && node.conv.residual_scale == 1;
  auto direct = ChooseDirect(geometry, node.conv.activation, fusible, CpuEngine());
  if (direct.has_value()) direct->residual_left |= residual && !fusible;
  return direct;
}

ConvForm WinogradForm(const ProgramBuild& build, int value, int rows,
                      const ConvParameters& parameters) {
  const GraphNode& node = build.nodes[value];
  const int in = node.inputs[0];
  const Channels& in_channels = build.layout.channels(in);
  const Channels::Part& last = in_channels.parts.back();
  const auto conv = std::make_shared<const WinogradConv>(
      WinogradShape{.in_channels = in_channels.padded(),
                    .used_channels = in_channels.padded() - (last.padded - last.count),
                    .out_channels = build.layout.channels(value).padded(),
                    .height = rows,
                    .width = node.width,
                    .block = build.layout.block(),
                    .activation = node.conv.activation,
                    .residual_scale = node.conv.residual_scale},
      parameters.weight.data_ptr<float>(), parameters.bias.data_ptr<float>(),
      omp_get_max_threads());
  ConvForm form{.weight_bytes = conv->weight_bytes() + parameters.bias.nbytes(),
                .scratch_bytes = conv->scratch_bytes()};
  VisitType(build.precision, [&]<typename T>(std::type_identity<T>) {
    const bool residual = node.conv.residual.has_value();
    form.steps.push_back([conv, src = build.data<T>(in),
                          add = residual ? build.data<T>(node.inputs[1]) : nullptr,
                          dst = build.data<T>(value), program = &build.program] {
      conv->Run<T>(src, add, dst, reinterpret_cast<float*>(program->scratchpad.get()));
    });
  });
  return form;
}

ConvForm DirectForm(const ProgramBuild& build, int value, int rows, const ConvChoice& choice,
                    const ConvParameters& parameters) {
  const GraphNode& node = build.nodes[value];
  const int in = node.inputs[0];
  auto& stream = build.program.stream;
  const auto& desc = choice.desc;

  // From plain OIHW (or GOIHW with one channel a group) to the order that the primitive wants.
  const memory::dims dims = desc.weights_desc().dims();
  memory plain({dims, memory::data_type::f32,
                dims.size() == 5 ? memory::format_tag::goihw : memory::format_tag::oihw},
               CpuEngine(), parameters.weight.data_ptr<float>());
  memory packed(desc.weights_desc(), CpuEngine());
  dnnl::reorder(plain, packed).execute(stream, plain, packed);
  memory packed_bias(desc.bias_desc(), CpuEngine());
  std::memcpy(packed_bias.get_data_handle(), parameters.bias.data_ptr<float>(),
              parameters.bias.nbytes());
  stream.wait();

  const memory scratchpad(desc.scratchpad_desc(), CpuEngine(), nullptr);
  ConvForm form{.weight_bytes = desc.weights_desc().get_size() + desc.bias_desc().get_size(),
                .scratch_bytes = desc.scratchpad_desc().get_size(),
                .scratchpads = {scratchpad}};
  const memory dst(desc.dst_desc(), CpuEngine(), build.data(value));
  std::unordered_map<int, memory> args = {
      {DNNL_ARG_SRC, build.nodes[in].operation == Operation::kInput
                         ? build.image
                         : memory(desc.src_desc(), CpuEngine(), build.data(in))},
      {DNNL_ARG_WEIGHTS, packed},
      {DNNL_ARG_BIAS, packed_bias},
      {DNNL_ARG_DST, dst},
      {DNNL_ARG_SCRATCHPAD, scratchpad}};
  const bool residual = node.conv.residual.has_value();
  if (residual && !choice.residual_left) {
    const int post_op = EltwiseOf(node.conv.activation).has_value() ? 1 : 0;
    args.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(post_op) | DNNL_ARG_SRC_1,
                 memory(desc.dst_desc(), CpuEngine(), build.data(node.inputs[1])));
  }
  form.steps.push_back([primitive = dnnl::convolution_forward(desc), args = std::move(args),
                        &stream] { primitive.execute(stream, args); });
  if (choice.activation_left) {
    const auto act = *EltwiseOf(node.conv.activation);
    const dnnl::eltwise_forward::desc eltwise(dnnl::prop_kind::forward_inference, act,
                                              desc.dst_desc(), AlphaOf(node.conv.activation), 0.0F);
    form.steps.push_back(
        [primitive = dnnl::eltwise_forward({eltwise, CpuEngine()}),
         args = std::unordered_map<int, memory>{{DNNL_ARG_SRC, dst}, {DNNL_ARG_DST, dst}},
         &stream] { primitive.execute(stream, args); });
  }
  if (residual && choice.residual_left) {
    const auto count =
        static_cast<std::int64_t>(build.layout.bytes(value) / build.layout.element_bytes()) /
        node.height * rows;
    VisitType(build.precision, [&]<typename T>(std::type_identity<T>) {
      form.steps.push_back([src = build.data<T>(node.inputs[1]), count,
                            scale = node.conv.residual_scale,
                            to = build.data<T>(value)] { AddInPlace<T>(src, count, scale, to); });
    });
  }
  return form;
}

}  // namespace nn::onednn
