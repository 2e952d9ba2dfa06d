#include "nn/onednn/conv_forms.h"

#include <ATen/Functions.h>
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>

#include "nn/onednn/activation_pass.h"
#include "nn/onednn/conv_primitive.h"
#include "nn/onednn/winograd.h"

namespace nn::onednn {
namespace {

using dnnl::memory;

bool ReadsImage(const ProgramBuild& build, int value) {
  return build.nodes[build.nodes[value].inputs[0]].operation == Operation::kInput;
}

// Of the first `rows` rows.
ConvGeometry GeometryOf(const ProgramBuild& build, int value, int rows) {
  const GraphNode& node = build.nodes[value];
  const int in = node.inputs[0];
  const int kernel = static_cast<int>(node.weight.size(2)), stride = node.conv.stride;
  const int out_channels = build.layout.channels(value).padded();
  return {
      .in_channels = build.layout.channels(in).padded(),
      .out_channels = out_channels,
      .in_height = std::min(build.nodes[in].height, (rows - 1) * stride + std::min(kernel, stride)),
      .in_width = build.nodes[in].width,
      .out_height = rows,
      .out_width = node.width,
      .kernel = kernel,
      .stride = stride,
      .groups = node.conv.groups > 1 ? out_channels : 1,
      .type = DataTypeOf(build.precision),
      .in_format = ReadsImage(build, value) ? build.layout.input_format() : build.layout.format(),
      .out_format = build.layout.format(),
  };
}

// Adds the pass that does what the primitive left.
void AddActivation(const ProgramBuild& build, int value, int rows, const ConvChoice& choice,
                   ConvForm* form) {
  if (!choice.activation_left && !choice.residual_left) return;
  const GraphNode& node = build.nodes[value];
  const auto count =
      static_cast<std::int64_t>(build.layout.bytes(value) / build.layout.element_bytes()) /
      node.height * rows;
  VisitType(build.precision, [&]<typename T>(std::type_identity<T>) {
    form->steps.push_back(
        [act = choice.activation_left ? node.conv.activation : Activation::kNone,
         residual = choice.residual_left ? build.data<const T>(node.inputs[1]) : nullptr,
         scale = node.conv.residual_scale, count,
         x = build.data<T>(value)] { ActivateInPlace<T>(act, residual, scale, count, x); });
  });
}

// The primitive with its weights packed; `src` and `dst` are as it describes them.
void AddPrimitive(const ProgramBuild& build, int value, const ConvChoice& choice,
                  const ConvParameters& parameters, const memory& src, const memory& dst,
                  ConvForm* form) {
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
  form->weight_bytes += desc.weights_desc().get_size() + desc.bias_desc().get_size();
  form->scratch_bytes = desc.scratchpad_desc().get_size();
  form->scratches.push_back(scratchpad);
  std::unordered_map<int, memory> args = {{DNNL_ARG_SRC, src},
                                          {DNNL_ARG_WEIGHTS, packed},
                                          {DNNL_ARG_BIAS, packed_bias},
                                          {DNNL_ARG_DST, dst},
                                          {DNNL_ARG_SCRATCHPAD, scratchpad}};
  const GraphNode& node = build.nodes[value];
  if (node.conv.residual.has_value() && !choice.residual_left) {
    const int post_op = EltwiseOf(node.conv.activation).has_value() ? 1 : 0;
    args.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(post_op) | DNNL_ARG_SRC_1,
                 memory(desc.dst_desc(), CpuEngine(), build.data(node.inputs[1])));
  }
  form->steps.push_back([primitive = dnnl::convolution_forward(desc), args = std::move(args),
                         &stream] { primitive.execute(stream, args); });
}

std::optional<ConvForm> DirectForm(const ProgramBuild& build, int value, int rows, bool fuse,
                                   const ConvParameters& parameters) {
  const GraphNode& node = build.nodes[value];
  const ConvGeometry geometry = GeometryOf(build, value, rows);
  // oneDNN adds, but does not scale what it adds.
  const bool residual = node.conv.residual.has_value();
  const bool fusible = residual && node.conv.residual_scale == 1;
  auto choice = fuse ? ChooseFused(geometry, node.conv.activation, fusible, CpuEngine())
                     : ChooseBare(geometry, node.conv.activation, residual, CpuEngine());
  if (!choice.has_value()) return std::nullopt;
  choice->residual_left |= residual && !fusible;
  const memory src = ReadsImage(build, value)
                         ? build.image
                         : memory(choice->desc.src_desc(), CpuEngine(), build.data(node.inputs[0]));
  const memory dst(choice->desc.dst_desc(), CpuEngine(), build.data(value));
  ConvForm form;
  AddPrimitive(build, value, *choice, parameters, src, dst, &form);
  AddActivation(build, value, rows, *choice, &form);
  return form;
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
                    .residual_scale = node.conv.residual_scale,
                    .plain_weights = WinogradConv::PlainWeightsPay(node.height, node.width)},
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

}  // namespace

ConvParameters WidenParameters(const ProgramBuild& build, int value) {
  const GraphNode& node = build.nodes[value];
  const Channels& out = build.layout.channels(value);
  at::Tensor weight = Widen(node.weight.to(at::kFloat), 0, out);
  if (node.conv.groups == 1) weight = Widen(weight, 1, build.layout.channels(node.inputs[0]));
  const at::Tensor bias =
      node.bias.defined() ? node.bias.to(at::kFloat) : at::zeros({node.channels});
  return {weight, Widen(bias, 0, out)};
}

bool Suits(const ProgramBuild& build, int value, ConvKernel kernel) {
  const GraphNode& node = build.nodes[value];
  switch (kernel) {
    case ConvKernel::kFused:
    case ConvKernel::kDirect:
      return true;
    case ConvKernel::kWinograd:
      return build.layout.layout() == Layout::kBlocked && node.weight.size(2) == 3 &&
             node.conv.stride == 1 && node.conv.groups == 1 && !ReadsImage(build, value);
  }
  return false;
}

std::optional<ConvForm> MakeForm(const ProgramBuild& build, int value, int rows, ConvKernel kernel,
                                 const ConvParameters& parameters) {
  switch (kernel) {
    case ConvKernel::kFused:
      return DirectForm(build, value, rows, /*fuse=*/true, parameters);
    case ConvKernel::kDirect:
      return DirectForm(build, value, rows, /*fuse=*/false, parameters);
    case ConvKernel::kWinograd:
      return WinogradForm(build, value, rows, parameters);
  }
  return std::nullopt;
}

}  // namespace nn::onednn
