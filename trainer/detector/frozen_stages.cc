#include "trainer/detector/frozen_stages.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <cstring>

#include "detector_service/packed/rtmdet_graph.h"
#include "nn/onednn/graph.h"

namespace trainer {

nn::onednn::Program* FrozenStages::ProgramFor(std::int64_t height, std::int64_t width) {
  if (const auto known = programs_.find({height, width}); known != programs_.end())
    return known->second.get();
  nn::onednn::Graph graph;
  detector::BuildStemGraph(*backbone_, stages_, {static_cast<int>(width), static_cast<int>(height)},
                           graph);
  // Which kernels are faster is measured, and so may differ from run to run: a training that goes
  // on after an interruption would not have the same bits.
  auto program = graph.Compile({.kernel = nn::onednn::ConvKernel::kDirect});
  TORCH_CHECK(program.ok() || absl::IsUnimplemented(program.status()), program.status().ToString());
  auto& place = programs_[{height, width}];
  if (program.ok()) place = *std::move(program);
  return place.get();
}

std::vector<at::Tensor> FrozenStages::RunPlain(const at::Tensor& images) {
  std::vector<at::Tensor> maps = {
      backbone_->stem->forward(images.contiguous(at::MemoryFormat::ChannelsLast))};
  for (int stage = 0; stage < stages_; ++stage)
    maps.push_back(backbone_->stages[stage]->forward(maps.back()));
  return maps;
}

std::vector<at::Tensor> FrozenStages::Run(const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  nn::onednn::Program* program = ProgramFor(images.size(2), images.size(3));
  if (program == nullptr) return RunPlain(images);
  const at::Tensor planes = images.contiguous();
  const std::int64_t count = images.size(0);
  std::vector<at::Tensor> maps(static_cast<std::size_t>(stages_) + 1);
  const std::size_t first = maps.size() - program->output_count();
  for (std::int64_t image = 0; image < count; ++image) {
    program->Run(planes[image].data_ptr<float>());
    for (std::size_t i = 0; i < program->output_count(); ++i) {
      const nn::onednn::Program::Output output = program->output(i);
      at::Tensor& map = maps[first + i];
      if (image == 0) map = at::empty({count, output.height, output.width, output.channels});
      const at::Tensor target = map[image];
      std::memcpy(target.data_ptr<float>(), output.data,
                  static_cast<std::size_t>(target.numel()) * sizeof(float));
    }
  }
  for (at::Tensor& map : maps) {
    if (map.defined()) map = map.permute({0, 3, 1, 2});
  }
  return maps;
}

}  // namespace trainer
