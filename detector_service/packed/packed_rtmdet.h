// PackedRtmdet: RTMDet as it runs on a CPU. Batch norms folded into the convolutions, the whole
// network compiled for one input size (nn/onednn/graph.h). The plain modules (model/) are the
// source of truth, train and run on CUDA; once packed they may go.
#ifndef DUET_DETECTOR_SERVICE_PACKED_PACKED_RTMDET_H_
#define DUET_DETECTOR_SERVICE_PACKED_PACKED_RTMDET_H_

#include <absl/status/statusor.h>

#include <memory>

#include "detector_service/model/detector.h"
#include "nn/onednn/graph.h"

namespace detector {

class PackedRtmdet {
 public:
  // `width` and `height`: the network's input, multiples of 32. Unimplemented where the CPU has no
  // fast kernels.
  static absl::StatusOr<std::unique_ptr<PackedRtmdet>> Create(
      const RtmdetImpl& model, int width, int height, const nn::onednn::CompileOptions& options);

  // As RtmdetImpl::forward for one normalised BGR picture [1, 3, height, width], float32,
  // contiguous. The results are [1, C, H, W] with channels innermost in memory. One call at a time;
  // they stay valid until the next.
  HeadOutput Forward(const at::Tensor& image);

  const nn::onednn::Program& program() const { return *program_; }

 private:
  PackedRtmdet(std::unique_ptr<nn::onednn::Program> program, bool exp_on_reg);

  std::unique_ptr<nn::onednn::Program> program_;
  bool exp_on_reg_;
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_PACKED_PACKED_RTMDET_H_
