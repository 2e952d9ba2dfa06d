// The part of the backbone that a training does not change, as fast as the detector runs it: batch
// norms folded, no autograd, oneDNN's fused primitives (detector_service/packed).
#ifndef DUET_TRAINER_DETECTOR_FROZEN_STAGES_H_
#define DUET_TRAINER_DETECTOR_FROZEN_STAGES_H_

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "detector_service/rtmdet/backbone.h"
#include "nn/onednn/program.h"

namespace trainer {

// Not thread-safe.
class FrozenStages {
 public:
  // The stem and the first `stages` stages, 0 to 4, of `backbone`, whose weights are read when a
  // size of images is first seen and must stay as they are from then on. REQUIRES: they are in eval
  // mode.
  FrozenStages(detector::CSPNeXt backbone, int stages)
      : backbone_(std::move(backbone)), stages_(stages) {}

  // [B, 3, H, W] → what the stem and each of the stages give, [B, C, H', W'], channels innermost,
  // without gradients. Where a following stage is frozen too, the stem's and the first stage's are
  // undefined: nobody reads them.
  std::vector<at::Tensor> Run(const at::Tensor& images);

 private:
  // Null if oneDNN has no fast kernels here.
  nn::onednn::Program* ProgramFor(std::int64_t height, std::int64_t width);
  std::vector<at::Tensor> RunPlain(const at::Tensor& images);

  detector::CSPNeXt backbone_;
  const int stages_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::unique_ptr<nn::onednn::Program>> programs_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_DETECTOR_FROZEN_STAGES_H_
