// Graph → Program: lays out all values, then builds the steps of one operation after the other.
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nn/onednn/compiled_program.h"
#include "nn/onednn/conv_choice.h"
#include "nn/onednn/conv_forms.h"
#include "nn/onednn/cpu.h"
#include "nn/onednn/elementwise.h"
#include "nn/onednn/engine.h"
#include "nn/onednn/graph.h"
#include "nn/onednn/graph_node.h"
#include "nn/onednn/value_layout.h"

namespace nn::onednn {
namespace {

using dnnl::memory;

float Gate(Activation act, float x) {
  switch (act) {
    case Activation::kHardSigmoid:  // torch: relu6(x + 3) / 6
      return std::min(std::max(x + 3.0F, 0.0F), 6.0F) / 6.0F;
    case Activation::kSigmoid:
      return 1.0F / (1.0F + std::exp(-x));
    case Activation::kSilu:
      return x / (1.0F + std::exp(-x));
    case Activation::kRelu:
      return std::max(x, 0.0F);
    case Activation::kLeakyRelu:
      return x > 0 ? x : kLeakySlope * x;
    case Activation::kGelu:
      return 0.5F * x * (1.0F + std::erf(x * 0.70710678F));
    case Activation::kNone:
      return x;
  }
  return x;
}

// Builds one program. Used once.
class Compiler {
 public:
  // `nodes` must outlive it. `block`: channels per block, not 0.
  Compiler(const std::vector<GraphNode>& nodes, const std::vector<int>& outputs,
           const CompileOptions& options, Layout layout, int block)
      : nodes_(nodes),
        outputs_(outputs),
        options_(options),
        layout_(nodes, outputs, options.precision, layout, block),
        program_(std::make_unique<CompiledProgram>()),
        build_{nodes, layout_, options.precision, *program_} {}

  absl::StatusOr<std::unique_ptr<Program>> Compile() {
    program_->arena_size = layout_.arena_bytes();
    program_->arena = AllocateZeros(layout_.arena_bytes());
    for (int i = 0; i < static_cast<int>(nodes_.size()); ++i) {
      if (auto status = Emit(i); !status.ok()) return status;
    }
    for (const int i : outputs_) {
      if (auto status = EmitOutput(i); !status.ok()) return status;
    }
    program_->UseScratchpad(scratch_bytes_, scratches_);
    return std::unique_ptr<Program>(std::move(program_));
  }

 private:
  memory MemoryOf(int value) const {
    return {layout_.Describe(value), CpuEngine(), build_.data(value)};
  }

  void Add(std::function<void()> step) { program_->steps.push_back(std::move(step)); }

  void AddPrimitive(const dnnl::primitive& primitive, std::unordered_map<int, memory> args) {
    auto& stream = program_->stream;
    Add([primitive, args = std::move(args), &stream] { primitive.execute(stream, args); });
  }

  absl::Status Emit(int i) {
    const GraphNode& node = nodes_[i];
    switch (node.operation) {
      case Operation::kInput:
        EmitInput(i);
        break;
      case Operation::kConv:
        return EmitConv(i);
      case Operation::kConcat:
        EmitConcat(i);
        break;
      case Operation::kMaxPool:
        EmitMaxPool(i);
        break;
      case Operation::kUpsample2x:
        EmitElementwise(i, layout_.shape(node.inputs[0]),
                        [](const auto* src, const BlockedShape& shape, auto* dst) {
                          Upsample2x(src, shape, dst);
                        });
        break;
      case Operation::kInterleave2x:
        EmitInterleave(i);
        break;
      case Operation::kUpsampleBilinear:
        EmitElementwise(
            i, layout_.shape(node.inputs[0]),
            [factor = node.factor](const auto* src, const BlockedShape& shape, auto* dst) {
              UpsampleBilinear(src, shape, factor, dst);
            });
        break;
      case Operation::kChannelGate:
        EmitGate(i);
        break;
    }
    return absl::OkStatus();
  }

  // A step pass(source, shape, destination).
  template <typename Pass>
  void EmitElementwise(int i, const BlockedShape& shape, const Pass& pass) {
    VisitType(options_.precision, [&]<typename T>(std::type_identity<T>) {
      Add([pass, src = build_.data<const T>(nodes_[i].inputs[0]), shape, dst = build_.data<T>(i)] {
        pass(src, shape, dst);
      });
    });
  }

  void EmitInput(int i) {
    const GraphNode& node = nodes_[i];
    const memory::dims dims = {1, node.channels, node.height, node.width};
    build_.image =
        memory({dims, memory::data_type::f32, memory::format_tag::nchw}, CpuEngine(), nullptr);
    program_->inputs.push_back(build_.image);
    if (!layout_.copies_input()) return;
    const memory copy({dims, DataTypeOf(options_.precision), layout_.input_format()}, CpuEngine(),
                      program_->arena.get() + layout_.input_copy_offset());
    AddPrimitive(dnnl::reorder(build_.image, copy),
                 {{DNNL_ARG_FROM, build_.image}, {DNNL_ARG_TO, copy}});
    build_.image = copy;
  }

  void EmitInterleave(int i) {
    const std::vector<int>& taps = nodes_[i].inputs;
    VisitType(options_.precision, [&]<typename T>(std::type_identity<T>) {
      std::array<const T*, 4> sources;
      for (int tap = 0; tap < 4; ++tap) sources[tap] = build_.data<const T>(taps[tap]);
      Add([sources, shape = layout_.shape(taps[0]), dst = build_.data<T>(i)] {
        Interleave2x(sources, shape, dst);
      });
    });
  }

  absl::Status EmitConv(int i) {
    const GraphNode& node = nodes_[i];
    const bool depthwise = node.conv.groups > 1;
    if (depthwise && (node.conv.groups != node.channels || node.weight.size(1) != 1)) {
      return absl::UnimplementedError("grouped convolution that is not depthwise");
    }
    const ConvParameters parameters = WidenParameters(build_, i);
    const ConvKernel kernel =
        !options_.kernel.has_value()
            ? ChooseKernel(build_, i, parameters)
            : (Suits(build_, i, *options_.kernel) ? *options_.kernel : ConvKernel::kDirect);
    std::optional<ConvForm> form = MakeForm(build_, i, node.height, kernel, parameters);
    if (!form.has_value()) {
      const auto side = node.weight.size(2);
      return absl::UnimplementedError(
          absl::StrCat("no fast ", side, "x", side, " convolution for this CPU"));
    }
    program_->winograd += kernel == ConvKernel::kWinograd;
    Keep(*std::move(form));
    return absl::OkStatus();
  }

  void Keep(ConvForm form) {
    for (auto& step : form.steps) Add(std::move(step));
    program_->packed_weight_bytes += form.weight_bytes;
    scratch_bytes_ = std::max(scratch_bytes_, form.scratch_bytes);
    scratches_.insert(scratches_.end(), form.scratches.begin(), form.scratches.end());
  }

  // In the blocked layout parts that were written in place cost nothing; one that lies elsewhere
  // (an input of two concatenations) is copied.
  void EmitConcat(int i) {
    if (layout_.layout() == Layout::kChannelsLast) return EmitConcatOfPixels(i);
    std::size_t offset = layout_.offset(i);
    for (const int input : nodes_[i].inputs) {
      const std::size_t bytes = layout_.bytes(input);
      if (layout_.offset(input) != offset) {
        Add([from = build_.data(input), to = program_->arena.get() + offset, bytes] {
          std::memcpy(to, from, bytes);
        });
      }
      offset += bytes;
    }
  }

  void EmitConcatOfPixels(int i) {
    VisitType(options_.precision, [&]<typename T>(std::type_identity<T>) {
      std::vector<PixelRun<T>> runs;
      for (const int input : nodes_[i].inputs) {
        runs.push_back({build_.data<const T>(input), layout_.channels(input).padded()});
      }
      Add([runs = std::move(runs), shape = layout_.shape(i), dst = build_.data<T>(i)] {
        ConcatPixels(runs, shape, dst);
      });
    });
  }

  void EmitMaxPool(int i) {
    const GraphNode& node = nodes_[i];
    const int in = node.inputs[0], pad = (node.kernel - 1) / 2;
    // At the right and bottom as far as the last window reaches.
    const auto end = [&](int size, int of) {
      return (size - 1) * node.stride + node.kernel - of - pad;
    };
    const memory src = MemoryOf(in), dst = MemoryOf(i);
    const dnnl::pooling_forward::desc desc(
        dnnl::prop_kind::forward_inference, dnnl::algorithm::pooling_max, src.get_desc(),
        dst.get_desc(), {node.stride, node.stride}, {node.kernel, node.kernel}, {pad, pad},
        {end(node.height, nodes_[in].height), end(node.width, nodes_[in].width)});
    AddPrimitive(dnnl::pooling_forward(dnnl::pooling_forward::primitive_desc(desc, CpuEngine())),
                 {{DNNL_ARG_SRC, src}, {DNNL_ARG_DST, dst}});
  }

  void EmitGate(int i) {
    const GraphNode& node = nodes_[i];
    const int in = node.inputs[0];
    const Channels& channels = layout_.channels(in);
    at::Tensor weight = node.weight.to(at::kFloat).reshape({node.channels, node.channels});
    weight = Widen(Widen(weight, 0, channels), 1, channels);
    const at::Tensor bias = Widen(node.bias.to(at::kFloat), 0, channels);
    program_->packed_weight_bytes += weight.nbytes() + bias.nbytes();
    VisitType(options_.precision, [&]<typename T>(std::type_identity<T>) {
      const int count = channels.padded();
      Add([src = build_.data<const T>(in), shape = layout_.shape(in), weight, bias, count,
           act = node.gate_act, mean = std::vector<float>(count), gate = std::vector<float>(count),
           dst = build_.data<T>(i)]() mutable {
        MeanOverPixels(src, shape, mean.data());
        const float* w = weight.data_ptr<float>();
        const float* b = bias.data_ptr<float>();
#pragma omp parallel for schedule(static)
        for (int o = 0; o < count; ++o) {
          float sum = 0;
#pragma omp simd reduction(+ : sum)
          for (int k = 0; k < count; ++k) sum += w[o * count + k] * mean[k];
          gate[o] = Gate(act, sum + b[o]);
        }
        ScaleChannels(src, shape, gate.data(), dst);
      });
    });
  }

  absl::Status EmitOutput(int i) {
    const GraphNode& node = nodes_[i];
    if (layout_.channels(i).parts.size() != 1) {
      return absl::UnimplementedError("an output that is a concatenation");
    }
    const std::size_t bytes = sizeof(float) * node.channels * node.height * node.width;
    program_->output_data.push_back(AllocateZeros(bytes));
    std::byte* data = program_->output_data.back().get();
    program_->outputs.push_back(
        {reinterpret_cast<const float*>(data), node.channels, node.height, node.width});
    const memory src(layout_.Describe(i, node.channels), CpuEngine(), build_.data(i));
    const memory dst({{1, node.channels, node.height, node.width},
                      memory::data_type::f32,
                      memory::format_tag::nhwc},
                     CpuEngine(), data);
    AddPrimitive(dnnl::reorder(src, dst), {{DNNL_ARG_FROM, src}, {DNNL_ARG_TO, dst}});
    return absl::OkStatus();
  }

  const std::vector<GraphNode>& nodes_;
  const std::vector<int>& outputs_;
  const CompileOptions options_;
  const ValueLayout layout_;
  std::vector<memory> scratches_;
  std::size_t scratch_bytes_ = 0;
  std::unique_ptr<CompiledProgram> program_;
  ProgramBuild build_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Program>> Graph::Compile(const CompileOptions& options) const {
  const int block = CpuChannelBlock();
  if (block == 0) return absl::UnimplementedError("packed CPU inference needs AVX2");
  // Weights may be parameters, which anything computed from them would keep alive for its gradient.
  const at::NoGradGuard no_grad;
  const bool tiles = options.precision == Precision::kBFloat16 && CpuHasAmx();
  const Layout layout = options.layout.value_or(tiles ? Layout::kChannelsLast : Layout::kBlocked);
  const auto compile = [&](Layout with) -> absl::StatusOr<std::unique_ptr<Program>> {
    try {
      return Compiler(nodes_, outputs_, options, with, block).Compile();
    } catch (const dnnl::error& error) {
      return absl::UnimplementedError(absl::StrCat("oneDNN: ", error.what()));
    }
  };
  auto program = compile(layout);
  // What oneDNN has no fast kernel for in tiles, it may have without.
  if (tiles && !options.layout && absl::IsUnimplemented(program.status())) {
    return compile(Layout::kBlocked);
  }
  return program;
}

}  // namespace nn::onednn
