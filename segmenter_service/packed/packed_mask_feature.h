// HQ-SAM's refinement of the upscaled image embedding as it runs on a CPU.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_MASK_FEATURE_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_MASK_FEATURE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "segmenter_service/modeling/mask_decoder_hq.h"
#include "segmenter_service/packed/packed_conv.h"
#include "segmenter_service/packed/packed_layers.h"

namespace segmenter {

// MaskFeature (modeling/mask_decoder_hq.h) with its convolutions by Winograd. One Run at a time.
class PackedMaskFeature {
 public:
  // Copies what it needs. `side`: of the map. REQUIRES: PackedConv3x3::Supported().
  PackedMaskFeature(const MaskFeature& module, std::int64_t side, int threads);

  // [B, C / 8, side, side], dense, to the same.
  at::Tensor Run(const at::Tensor& upscaled);

 private:
  PackedConv3x3 conv1_, conv2_;
  const RowNorm norm_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_MASK_FEATURE_H_
