// Graph → Program: places every value in a buffer, plans the arena, then builds one step per
// operation.
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nn/onednn/aligned.h"
#include "nn/onednn/arena.h"
#include "nn/onednn/conv_primitive.h"
#include "nn/onednn/cpu.h"
#include "nn/onednn/elementwise.h"
#include "nn/onednn/graph.h"
#include "nn/onednn/graph_node.h"
#include "nn/onednn/kernel_time.h"
#include "nn/onednn/winograd.h"

namespace nn::onednn {
namespace {

using dnnl::memory;

const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

memory::desc Blocked(int channels, int height, int width, memory::data_type type, int block) {
  return {{1, channels, height, width},
          type,
          block == 16 ? memory::format_tag::nChw16c : memory::format_tag::nChw8c};
}

// A value's channels as they lie in memory: parts of whole blocks, each padded with zeros at its
// end.
struct Channels {
  struct Part {
    int count;
    int padded;
  };
  std::vector<Part> parts;

  int padded() const {
    int sum = 0;
    for (const Part& part : parts) sum += part.padded;
    return sum;
  }
};

// `tensor` with dimension `dim` widened from the logical to the padded channels, zeros between.
at::Tensor Widen(const at::Tensor& tensor, int dim, const Channels& channels) {
  std::vector<at::Tensor> pieces;
  std::int64_t start = 0;
  for (const auto& part : channels.parts) {
    pieces.push_back(tensor.narrow(dim, start, part.count));
    start += part.count;
    if (part.padded > part.count) {
      auto shape = tensor.sizes().vec();
      shape[dim] = part.padded - part.count;
      pieces.push_back(at::zeros(shape, tensor.options()));
    }
  }
  return at::cat(pieces, dim).contiguous();
}

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

AlignedArray<std::byte> Allocate(std::size_t bytes) {
  AlignedArray<std::byte> p = AllocateAligned<std::byte>(bytes);
  std::memset(p.get(), 0, bytes);
  return p;
}

class CompiledProgram final : public Program {
 public:
  void Run(const float* input) override {
    for (auto& memory : inputs) memory.set_data_handle(const_cast<float*>(input));
    for (const auto& step : steps) step();
    stream.wait();
  }
  Output output(std::size_t index) const override { return outputs[index]; }
  std::size_t output_count() const override { return outputs.size(); }
  std::size_t weight_bytes() const override { return packed_weight_bytes; }
  std::size_t arena_bytes() const override { return arena_size; }
  int winograd_count() const override { return winograd; }

  dnnl::stream stream{Engine()};
  std::vector<std::function<void()>> steps;
  std::vector<memory> inputs;  // those that read the caller's picture
  std::vector<Output> outputs;
  std::vector<AlignedArray<std::byte>> output_data;
  std::size_t packed_weight_bytes = 0;
  std::size_t arena_size = 0;
  AlignedArray<std::byte> arena;
  AlignedArray<std::byte> scratchpad;
  int winograd = 0;
};

// Whether Winograd won, by layer shape. A measurement holds for the process: shapes repeat within
// and across models.
class WinogradRecord {
 public:
  static WinogradRecord& Instance() {
    static WinogradRecord* record = new WinogradRecord;
    return *record;
  }
  bool Decide(const std::string& shape, const std::function<bool()>& measure) {
    const std::lock_guard lock(mutex_);
    const auto [it, fresh] = wins_.try_emplace(shape, false);
    if (fresh) it->second = measure();
    return it->second;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, bool> wins_;
};

}  // namespace

class Compiler {
 public:
  Compiler(const std::vector<Graph::Node>& nodes, const std::vector<int>& outputs,
           const CompileOptions& options)
      : nodes_(nodes),
        outputs_(outputs),
        options_(options),
        block_(CpuChannelBlock()),
        type_(options.precision == Precision::kBFloat16 ? memory::data_type::bf16
                                                        : memory::data_type::f32),
        element_bytes_(options.precision == Precision::kBFloat16 ? 2 : 4),
        program_(std::make_unique<CompiledProgram>()) {}

  absl::StatusOr<std::unique_ptr<Program>> Compile() {
    if (block_ == 0) {
      return absl::UnimplementedError("packed CPU inference needs AVX2");
    }
    LayOutChannels();
    PlaceValues();
    AllocateArena();
    for (int i = 0; i < static_cast<int>(nodes_.size()); ++i) {
      if (auto status = Emit(i); !status.ok()) return status;
    }
    for (const int i : outputs_) {
      if (auto status = EmitOutput(i); !status.ok()) return status;
    }
    program_->scratchpad = Allocate(scratch_bytes_);
    for (auto& memory : scratchpads_) memory.set_data_handle(program_->scratchpad.get());
    return std::unique_ptr<Program>(std::move(program_));
  }

 private:
  struct Place {
    int buffer = -1;
    int channel = 0;  // padded channels before this value in its buffer
  };

  void LayOutChannels() {
    channels_.resize(nodes_.size());
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const auto& node = nodes_[i];
      switch (node.kind) {
        case Kind::kInput:
          channels_[i].parts = {{node.channels, node.channels}};
          break;
        case Kind::kConv:
          if (node.conv.groups == 1) {
            channels_[i].parts = {{node.channels, (node.channels + block_ - 1) / block_ * block_}};
            break;
          }
          [[fallthrough]];
        case Kind::kMaxPool:
        case Kind::kUpsample2x:
        case Kind::kUpsampleBilinear:
        case Kind::kChannelGate:
          channels_[i] = channels_[node.inputs[0]];
          break;
        case Kind::kInterleave2x:
          channels_[i].parts = {channels_[node.inputs[0]].parts[0]};
          break;
        case Kind::kConcat:
          for (const int input : node.inputs) {
            const auto& parts = channels_[input].parts;
            channels_[i].parts.insert(channels_[i].parts.end(), parts.begin(), parts.end());
          }
          break;
      }
    }
  }

  // Backwards, so that a Concat has its buffer before the values that are to be written into it.
  void PlaceValues() {
    places_.resize(nodes_.size());
    std::vector<int> uses(nodes_.size(), 0);
    for (const auto& node : nodes_) {
      for (const int input : node.inputs) ++uses[input];
    }
    for (int i = static_cast<int>(nodes_.size()) - 1; i >= 0; --i) {
      const auto& node = nodes_[i];
      if (node.kind == Kind::kInput) continue;
      if (places_[i].buffer < 0) {
        places_[i].buffer = static_cast<int>(lives_.size());
        lives_.push_back({BytesOf(i), i, i});
      }
      if (node.kind == Kind::kConcat) {
        int channel = places_[i].channel;
        for (const int input : node.inputs) {
          if (places_[input].buffer < 0) places_[input] = {places_[i].buffer, channel};
          channel += channels_[input].padded();
        }
      } else if (node.kind == Kind::kChannelGate && uses[node.inputs[0]] == 1 &&
                 places_[node.inputs[0]].buffer < 0) {
        places_[node.inputs[0]] = places_[i];  // scaled in place
      }
    }
    const int end = static_cast<int>(nodes_.size());
    for (int i = 0; i < end; ++i) {
      if (nodes_[i].kind == Kind::kInput) continue;
      Touch(i, i);
      for (const int input : nodes_[i].inputs) {
        if (nodes_[input].kind != Kind::kInput) Touch(input, i);
      }
    }
    for (const int i : outputs_) Touch(i, end);
    // The picture in bf16, wanted by the first convolutions only.
    if (type_ == memory::data_type::bf16) {
      int last = 0;
      for (int i = 0; i < end; ++i) {
        for (const int input : nodes_[i].inputs) {
          if (nodes_[input].kind == Kind::kInput) last = i;
        }
      }
      const auto& input = nodes_.front();
      picture_buffer_ = static_cast<int>(lives_.size());
      lives_.push_back(
          {sizeof(std::uint16_t) * input.channels * input.height * input.width, 0, last});
    }
  }

  void Touch(int value, int step) {
    auto& life = lives_[places_[value].buffer];
    life.first = std::min(life.first, step);
    life.last = std::max(life.last, step);
  }

  std::size_t BytesOf(int i) const {
    return static_cast<std::size_t>(channels_[i].padded()) * nodes_[i].height * nodes_[i].width *
           element_bytes_;
  }

  void AllocateArena() {
    plan_ = PlanArena(lives_);
    program_->arena_size = plan_.bytes;
    program_->arena = Allocate(plan_.bytes);
  }

  std::byte* DataOf(int i) const {
    const auto& node = nodes_[i];
    return program_->arena.get() + plan_.offsets[places_[i].buffer] +
           static_cast<std::size_t>(places_[i].channel) * node.height * node.width * element_bytes_;
  }

  memory::desc DescOf(int i) const {
    return Blocked(channels_[i].padded(), nodes_[i].height, nodes_[i].width, type_, block_);
  }

  BlockedShape ShapeOf(int i) const {
    return {channels_[i].padded() / block_, nodes_[i].height, nodes_[i].width, block_};
  }

  void Add(std::function<void()> step) { program_->steps.push_back(std::move(step)); }

  void AddPrimitive(const dnnl::primitive& primitive, std::unordered_map<int, memory> args) {
    auto& stream = program_->stream;
    Add([primitive, args = std::move(args), &stream] { primitive.execute(stream, args); });
  }

  absl::Status Emit(int i) {
    const auto& node = nodes_[i];
    switch (node.kind) {
      case Kind::kInput:
        EmitInput(i);
        return absl::OkStatus();
      case Kind::kConv:
        return EmitConv(i);
      case Kind::kConcat:
        EmitConcat(i);
        return absl::OkStatus();
      case Kind::kMaxPool:
        return EmitMaxPool(i);
      case Kind::kUpsample2x:
        EmitTyped([this, i, in = node.inputs[0]]<typename T>(T*) {
          Add([src = reinterpret_cast<const T*>(DataOf(in)), shape = ShapeOf(in),
               dst = reinterpret_cast<T*>(DataOf(i))] { Upsample2x(src, shape, dst); });
        });
        return absl::OkStatus();
      case Kind::kInterleave2x:
        EmitTyped([this, i, in = node.inputs[0]]<typename T>(T*) {
          BlockedShape shape = ShapeOf(in);
          shape.blocks /= 4;
          Add([src = reinterpret_cast<const T*>(DataOf(in)), shape,
               dst = reinterpret_cast<T*>(DataOf(i))] { Interleave2x(src, shape, dst); });
        });
        return absl::OkStatus();
      case Kind::kUpsampleBilinear:
        EmitTyped([this, i, &node, in = node.inputs[0]]<typename T>(T*) {
          Add([src = reinterpret_cast<const T*>(DataOf(in)), shape = ShapeOf(in),
               factor = node.factor, dst = reinterpret_cast<T*>(DataOf(i))] {
            UpsampleBilinear(src, shape, factor, dst);
          });
        });
        return absl::OkStatus();
      case Kind::kChannelGate:
        EmitGate(i);
        return absl::OkStatus();
    }
    return absl::InternalError("unknown operation");
  }

  template <typename F>
  void EmitTyped(F emit) {
    if (type_ == memory::data_type::f32) {
      emit(static_cast<float*>(nullptr));
    } else {
      emit(static_cast<BFloat16Bits*>(nullptr));
    }
  }

  void EmitInput(int i) {
    const auto& node = nodes_[i];
    const memory::dims dims = {1, node.channels, node.height, node.width};
    picture_ = memory({dims, memory::data_type::f32, memory::format_tag::nchw}, Engine(), nullptr);
    program_->inputs.push_back(picture_);
    if (type_ == memory::data_type::bf16) {
      memory rounded({dims, type_, memory::format_tag::nchw}, Engine(),
                     program_->arena.get() + plan_.offsets[picture_buffer_]);
      AddPrimitive(dnnl::reorder(picture_, rounded),
                   {{DNNL_ARG_FROM, picture_}, {DNNL_ARG_TO, rounded}});
      picture_ = rounded;
    }
  }

  absl::Status EmitConv(int i) {
    const auto& node = nodes_[i];
    const int in = node.inputs[0];
    const bool from_picture = nodes_[in].kind == Kind::kInput;
    const bool depthwise = node.conv.groups > 1;
    if (depthwise && (node.conv.groups != node.channels || node.weight.size(1) != 1)) {
      return absl::UnimplementedError("grouped convolution that is not depthwise");
    }
    const auto blocked = block_ == 16 ? memory::format_tag::nChw16c : memory::format_tag::nChw8c;
    const ConvGeometry geometry{
        .in_channels = channels_[in].padded(),
        .out_channels = channels_[i].padded(),
        .in_height = nodes_[in].height,
        .in_width = nodes_[in].width,
        .out_height = node.height,
        .out_width = node.width,
        .kernel = static_cast<int>(node.weight.size(2)),
        .stride = node.conv.stride,
        .groups = depthwise ? channels_[i].padded() : 1,
        .type = type_,
        .in_format = from_picture ? memory::format_tag::nchw : blocked,
        .out_format = blocked,
    };
    // oneDNN adds, but does not scale what it adds.
    const bool residual = node.conv.residual.has_value();
    const bool fusible = residual && node.conv.residual_scale == 1;
    auto direct = ChooseDirect(geometry, node.conv.activation, fusible, Engine());
    if (direct.has_value()) direct->residual_left |= residual && !fusible;
    if (!direct.has_value()) {
      return absl::UnimplementedError(absl::StrCat("no fast ", geometry.kernel, "x",
                                                   geometry.kernel, " convolution for this CPU"));
    }

    at::Tensor weight = Widen(node.weight.to(at::kFloat), 0, channels_[i]);
    if (!depthwise) weight = Widen(weight, 1, channels_[in]);
    const at::Tensor bias =
        Widen(node.bias.defined() ? node.bias.to(at::kFloat) : at::zeros({node.channels}), 0,
              channels_[i]);

    const bool winograd_fits =
        geometry.kernel == 3 && geometry.stride == 1 && !depthwise && !from_picture;
    const auto wins = [&] {
      return WinogradRecord::Instance().Decide(
          ShapeKey(geometry), [&] { return WinogradWins(i, geometry, fusible, weight, bias); });
    };
    if (winograd_fits && options_.winograd != CompileOptions::Winograd::kNever &&
        (options_.winograd == CompileOptions::Winograd::kAlways || wins())) {
      ++program_->winograd;
      Keep(WinogradForm(i, node.height, weight, bias));
    } else {
      Keep(DirectForm(i, node.height, *direct, weight, bias));
    }
    return absl::OkStatus();
  }

  std::string ShapeKey(const ConvGeometry& g) const {
    return absl::StrCat(element_bytes_, ",", g.in_channels, ",", g.out_channels, ",", g.in_height,
                        ",", g.in_width);
  }

  // One way to compute a layer.
  struct ConvForm {
    std::vector<std::function<void()>> steps;
    std::size_t weight_bytes = 0;
    std::size_t scratch_bytes = 0;
    std::vector<memory> scratchpads;  // handles that want the scratchpad's address
  };

  void Keep(ConvForm form) {
    for (auto& step : form.steps) Add(std::move(step));
    program_->packed_weight_bytes += form.weight_bytes;
    scratch_bytes_ = std::max(scratch_bytes_, form.scratch_bytes);
    scratchpads_.insert(scratchpads_.end(), form.scratchpads.begin(), form.scratchpads.end());
  }

  // One thread's share of the rows, by one thread: it takes as long as the layer does, and what
  // other threads of the process do doesn't decide (kernel_time.h).
  bool WinogradWins(int i, ConvGeometry geometry, bool fusible, const at::Tensor& weight,
                    const at::Tensor& bias) {
    constexpr int kTileRows = 4;  // a share is of whole tiles, except for the last
    const int threads = omp_get_max_threads();
    const int share = (nodes_[i].height + threads - 1) / threads;
    const int rows = std::min((share + kTileRows - 1) / kTileRows * kTileRows, nodes_[i].height);
    const AloneOnOneThread alone;
    geometry.in_height = geometry.out_height = rows;
    auto direct = ChooseDirect(geometry, nodes_[i].conv.activation, fusible, Engine());
    if (!direct.has_value()) return true;
    direct->residual_left |= nodes_[i].conv.residual.has_value() && !fusible;
    return Seconds(WinogradForm(i, rows, weight, bias)) <
           Seconds(DirectForm(i, rows, *direct, weight, bias));
  }

  // Over zeros, since the time doesn't depend on values.
  double Seconds(ConvForm form) {
    program_->scratchpad = Allocate(form.scratch_bytes);
    for (auto& pad : form.scratchpads) pad.set_data_handle(program_->scratchpad.get());
    return LeastSeconds(5, [&] {
      for (const auto& step : form.steps) step();
      program_->stream.wait();
    });
  }

  // For the first `rows` rows of the layer.
  ConvForm WinogradForm(int i, int rows, const at::Tensor& weight, const at::Tensor& bias) {
    const auto& node = nodes_[i];
    const int in = node.inputs[0];
    const auto& last = channels_[in].parts.back();
    const auto conv = std::make_shared<const WinogradConv>(
        WinogradShape{.in_channels = channels_[in].padded(),
                      .used_channels = channels_[in].padded() - (last.padded - last.count),
                      .out_channels = channels_[i].padded(),
                      .height = rows,
                      .width = node.width,
                      .block = block_,
                      .activation = node.conv.activation,
                      .residual_scale = node.conv.residual_scale},
        weight.data_ptr<float>(), bias.data_ptr<float>(), omp_get_max_threads());
    ConvForm form{.weight_bytes = conv->weight_bytes() + bias.nbytes(),
                  .scratch_bytes = conv->scratch_bytes()};
    EmitTyped([&]<typename T>(T*) {
      const bool residual = node.conv.residual.has_value();
      form.steps.push_back(
          [conv, src = reinterpret_cast<const T*>(DataOf(in)),
           add = residual ? reinterpret_cast<const T*>(DataOf(node.inputs[1])) : nullptr,
           dst = reinterpret_cast<T*>(DataOf(i)), program = program_.get()] {
            conv->Run(src, add, dst, reinterpret_cast<float*>(program->scratchpad.get()));
          });
    });
    return form;
  }

  // `choice` is for as many rows.
  ConvForm DirectForm(int i, int rows, const ConvChoice& choice, const at::Tensor& weight,
                      const at::Tensor& bias) {
    const auto& node = nodes_[i];
    const int in = node.inputs[0];
    auto& stream = program_->stream;
    const auto& desc = choice.desc;

    // Widened to plain OIHW (or GOIHW with one channel a group), then packed as the primitive wants
    // it.
    memory::dims dims = desc.weights_desc().dims();
    memory plain({dims, memory::data_type::f32,
                  dims.size() == 5 ? memory::format_tag::goihw : memory::format_tag::oihw},
                 Engine(), weight.data_ptr<float>());
    memory packed(desc.weights_desc(), Engine());
    dnnl::reorder(plain, packed).execute(stream, plain, packed);
    memory packed_bias(desc.bias_desc(), Engine());
    std::memcpy(packed_bias.get_data_handle(), bias.data_ptr<float>(), bias.nbytes());
    stream.wait();

    const memory scratchpad(desc.scratchpad_desc(), Engine(), nullptr);
    ConvForm form{.weight_bytes = desc.weights_desc().get_size() + desc.bias_desc().get_size(),
                  .scratch_bytes = desc.scratchpad_desc().get_size(),
                  .scratchpads = {scratchpad}};
    const memory dst(desc.dst_desc(), Engine(), DataOf(i));
    std::unordered_map<int, memory> args = {
        {DNNL_ARG_SRC, nodes_[in].kind == Kind::kInput
                           ? picture_
                           : memory(desc.src_desc(), Engine(), DataOf(in))},
        {DNNL_ARG_WEIGHTS, packed},
        {DNNL_ARG_BIAS, packed_bias},
        {DNNL_ARG_DST, dst},
        {DNNL_ARG_SCRATCHPAD, scratchpad}};
    const bool residual = node.conv.residual.has_value();
    if (residual && !choice.residual_left) {
      const int post_op = EltwiseOf(node.conv.activation).has_value() ? 1 : 0;
      args.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(post_op) | DNNL_ARG_SRC_1,
                   memory(desc.dst_desc(), Engine(), DataOf(node.inputs[1])));
    }
    form.steps.push_back([primitive = dnnl::convolution_forward(desc), args = std::move(args),
                          &stream] { primitive.execute(stream, args); });
    if (choice.activation_left) {
      const auto act = *EltwiseOf(node.conv.activation);
      const dnnl::eltwise_forward::desc eltwise(dnnl::prop_kind::forward_inference, act,
                                                desc.dst_desc(), AlphaOf(node.conv.activation),
                                                0.0F);
      form.steps.push_back(
          [primitive = dnnl::eltwise_forward({eltwise, Engine()}),
           args = std::unordered_map<int, memory>{{DNNL_ARG_SRC, dst}, {DNNL_ARG_DST, dst}},
           &stream] { primitive.execute(stream, args); });
    }
    if (residual && choice.residual_left) {
      const auto count =
          static_cast<std::int64_t>(BytesOf(i) / element_bytes_) / node.height * rows;
      EmitTyped([&]<typename T>(T*) {
        form.steps.push_back(
            [src = reinterpret_cast<const T*>(DataOf(node.inputs[1])), count,
             scale = node.conv.residual_scale,
             to = reinterpret_cast<T*>(DataOf(i))] { AddInPlace(src, count, scale, to); });
      });
    }
    return form;
  }

  // Parts that were written in place cost nothing; one that lives elsewhere (used by two Concats)
  // is copied.
  void EmitConcat(int i) {
    int channel = places_[i].channel;
    for (const int input : nodes_[i].inputs) {
      if (places_[input].buffer != places_[i].buffer || places_[input].channel != channel) {
        std::byte* to =
            program_->arena.get() + plan_.offsets[places_[i].buffer] +
            static_cast<std::size_t>(channel) * nodes_[i].height * nodes_[i].width * element_bytes_;
        Add([from = DataOf(input), to, bytes = BytesOf(input)] { std::memcpy(to, from, bytes); });
      }
      channel += channels_[input].padded();
    }
  }

  absl::Status EmitMaxPool(int i) {
    const int in = nodes_[i].inputs[0];
    const int kernel = nodes_[i].kernel;
    const int stride = nodes_[i].stride;
    const int pad = (kernel - 1) / 2;
    // At the right and bottom as far as the last window reaches.
    const auto end = [&](int size, int of) { return (size - 1) * stride + kernel - of - pad; };
    const dnnl::pooling_forward::desc desc(
        dnnl::prop_kind::forward_inference, dnnl::algorithm::pooling_max, DescOf(in), DescOf(i),
        {stride, stride}, {kernel, kernel}, {pad, pad},
        {end(nodes_[i].height, nodes_[in].height), end(nodes_[i].width, nodes_[in].width)});
    const dnnl::pooling_forward::primitive_desc primitive(desc, Engine());
    AddPrimitive(dnnl::pooling_forward(primitive),
                 {{DNNL_ARG_SRC, memory(DescOf(in), Engine(), DataOf(in))},
                  {DNNL_ARG_DST, memory(DescOf(i), Engine(), DataOf(i))}});
    return absl::OkStatus();
  }

  void EmitGate(int i) {
    const auto& node = nodes_[i];
    const int in = node.inputs[0];
    const Channels& channels = channels_[in];
    at::Tensor weight = node.weight.to(at::kFloat).reshape({node.channels, node.channels});
    weight = Widen(Widen(weight, 0, channels), 1, channels);
    const at::Tensor bias = Widen(node.bias.to(at::kFloat), 0, channels);
    program_->packed_weight_bytes += weight.nbytes() + bias.nbytes();
    EmitTyped([&]<typename T>(T*) {
      const int count = channels.padded();
      Add([src = reinterpret_cast<const T*>(DataOf(in)), shape = ShapeOf(in), weight, bias, count,
           act = node.gate_act, mean = std::vector<float>(count), gate = std::vector<float>(count),
           dst = reinterpret_cast<T*>(DataOf(i))]() mutable {
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
    const auto& node = nodes_[i];
    if (channels_[i].parts.size() != 1) {
      return absl::UnimplementedError("an output that is a concatenation");
    }
    const std::size_t bytes = sizeof(float) * node.channels * node.height * node.width;
    program_->output_data.push_back(Allocate(bytes));
    std::byte* data = program_->output_data.back().get();
    program_->outputs.push_back(
        {reinterpret_cast<const float*>(data), node.channels, node.height, node.width});
    // With the logical channel count oneDNN knows the padding by itself and leaves it out.
    const memory src(Blocked(node.channels, node.height, node.width, type_, block_), Engine(),
                     DataOf(i));
    const memory dst({{1, node.channels, node.height, node.width},
                      memory::data_type::f32,
                      memory::format_tag::nhwc},
                     Engine(), data);
    AddPrimitive(dnnl::reorder(src, dst), {{DNNL_ARG_FROM, src}, {DNNL_ARG_TO, dst}});
    return absl::OkStatus();
  }

  const std::vector<Graph::Node>& nodes_;
  const std::vector<int>& outputs_;
  const CompileOptions options_;
  const int block_;
  const memory::data_type type_;
  const std::size_t element_bytes_;

  std::vector<Channels> channels_;
  std::vector<Place> places_;
  std::vector<BufferLife> lives_;
  ArenaPlan plan_;
  int picture_buffer_ = -1;
  memory picture_;
  std::vector<memory> scratchpads_;  // handles: all copies of one see what is set
  std::size_t scratch_bytes_ = 0;
  std::unique_ptr<CompiledProgram> program_;
};

absl::StatusOr<std::unique_ptr<Program>> Graph::Compile(const CompileOptions& options) const {
  // Weights may be parameters, which anything computed from them would keep alive for its gradient.
  const at::NoGradGuard no_grad;
  try {
    return Compiler(nodes_, outputs_, options).Compile();
  } catch (const dnnl::error& error) {
    return absl::UnimplementedError(absl::StrCat("oneDNN: ", error.what()));
  }
}

}  // namespace nn::onednn
