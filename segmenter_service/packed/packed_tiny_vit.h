// TinyViT (modeling/tiny_vit_sam.h) as it runs on a CPU: batch norms folded, weights packed,
// channels last throughout. Where a layer is wide and its map large, a few rows at a time go
// through the whole layer, so that what its parts hand on stays in the cache.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_TINY_VIT_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_TINY_VIT_H_

#include <absl/status/statusor.h>

#include <memory>

#include "nn/onednn/precision.h"
#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/modeling/tiny_vit_config.h"
#include "segmenter_service/modeling/tiny_vit_sam.h"

namespace segmenter {

// The steps are the plain encoder's, on tokens [1, H + 1, W, C]: the last row is there to be read
// past the end. `threads`: OpenMP threads that the steps will have. Unimplemented if this CPU lacks
// fast convolutions; throws c10::Error or dnnl::error.
absl::StatusOr<std::shared_ptr<EncoderSteps>> PackTinyViT(TinyViT encoder,
                                                          const TinyViTConfig& config,
                                                          nn::onednn::Precision precision,
                                                          int threads);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_TINY_VIT_H_
