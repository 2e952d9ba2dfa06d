#include "detector_service/inference/packed_network.h"

#include <absl/status/status.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <cstddef>
#include <list>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "detector_service/inference/plain_network.h"
#include "detector_service/packed/blueprint_graph.h"
#include "detector_service/packed/rtmdet_graph.h"
#include "nn/torch_status.h"

namespace detector {
namespace {

using nn::onednn::CompileOptions;
using nn::onednn::Program;

HeadLayout HeadOf(const RtmdetImpl& module) { return GraphLayoutOf(module.config); }

HeadLayout HeadOf(const BlueprintModuleImpl& module) { return module.blueprint.head; }

absl::StatusOr<std::unique_ptr<Program>> Compile(const DetectorModules& modules, vision::Size size,
                                                 const CompileOptions& options) {
  return std::visit(
      [&](const auto& module) {
        return nn::CatchTorch("pack the detector", [&] {
          nn::onednn::Graph graph;
          BuildGraph(*module, size, graph);
          return graph.Compile(options);
        });
      },
      modules);
}

class PackedNetwork final : public Network {
 public:
  // `modules`: absent if there is one size only.
  PackedNetwork(std::unique_ptr<Program> program, HeadLayout head, vision::Size input_size,
                std::optional<DetectorModules> modules, std::size_t other_sizes_bytes,
                const CompileOptions& options)
      : program_(std::move(program)),
        head_(std::move(head)),
        input_size_(input_size),
        modules_(std::move(modules)),
        other_sizes_bytes_(other_sizes_bytes),
        options_(options) {
    // Winograd's weights are 2.6 times as large, and which layers it pays for is measured.
    options_.kernel = nn::onednn::ConvKernel::kDirect;
  }

  absl::Status Run(const float* input, vision::Size size, RawOutput* output) override {
    if (std::find(plain_sizes_.begin(), plain_sizes_.end(), size) != plain_sizes_.end()) {
      return plain_->Run(input, size, output);
    }
    const absl::StatusOr<Program*> program = ProgramFor(size);
    if (modules_ && absl::IsUnimplemented(program.status())) return RunPlain(input, size, output);
    if (!program.ok()) return program.status();
    (*program)->Run(input);
    std::vector<OutputMap> maps;
    for (std::size_t i = 0; i < (*program)->output_count(); ++i) {
      const Program::Output map = (*program)->output(i);
      maps.push_back({map.data, map.channels, map.height, map.width});
    }
    *output = Interpret(head_, maps);
    return absl::OkStatus();
  }

 private:
  struct Other {
    vision::Size size;
    std::unique_ptr<Program> program;

    std::size_t bytes() const { return program->weight_bytes() + program->arena_bytes(); }
  };

  // Very narrow inputs have maps of one column, for which oneDNN has no fast kernels.
  absl::Status RunPlain(const float* input, vision::Size size, RawOutput* output) {
    if (plain_ == nullptr) {
      auto plain = MakePlainNetwork(*modules_, "cpu");
      if (!plain.ok()) return plain.status();
      plain_ = *std::move(plain);
    }
    plain_sizes_.push_back(size);
    return plain_->Run(input, size, output);
  }

  absl::StatusOr<Program*> ProgramFor(vision::Size size) {
    if (size == input_size_) return program_.get();
    if (!modules_) {
      return absl::InternalError(absl::StrFormat("compiled for %dx%d, asked to run %dx%d",
                                                 input_size_.width, input_size_.height, size.width,
                                                 size.height));
    }
    for (auto other = others_.begin(); other != others_.end(); ++other) {
      if (other->size != size) continue;
      others_.splice(others_.begin(), others_, other);
      return others_.front().program.get();
    }
    auto program = Compile(*modules_, size, options_);
    if (!program.ok()) return program.status();
    others_.push_front({size, *std::move(program)});
    other_bytes_ += others_.front().bytes();
    while (other_bytes_ > other_sizes_bytes_ && others_.size() > 1) {
      other_bytes_ -= others_.back().bytes();
      others_.pop_back();
    }
    return others_.front().program.get();
  }

  const std::unique_ptr<Program> program_;  // for input_size_
  const HeadLayout head_;
  const vision::Size input_size_;
  const std::optional<DetectorModules> modules_;
  const std::size_t other_sizes_bytes_;
  CompileOptions options_;   // of other sizes
  std::list<Other> others_;  // front: used last
  std::size_t other_bytes_ = 0;
  std::unique_ptr<Network> plain_;  // made when it is needed, for plain_sizes_
  std::vector<vision::Size> plain_sizes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> MakePackedNetwork(
    const DetectorModules& modules, vision::Size input_size, const CompileOptions& options,
    std::optional<std::size_t> other_sizes_bytes) {
  auto program = Compile(modules, input_size, options);
  if (!program.ok()) return program.status();
  HeadLayout head = std::visit([](const auto& module) { return HeadOf(*module); }, modules);
  return std::make_unique<PackedNetwork>(*std::move(program), std::move(head), input_size,
                                         other_sizes_bytes ? std::optional(modules) : std::nullopt,
                                         other_sizes_bytes.value_or(0), options);
}

}  // namespace detector
