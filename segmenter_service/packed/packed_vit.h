// SAM's vision transformer as it runs on a CPU.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_VIT_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_VIT_H_

#include <memory>

#include "nn/onednn/precision.h"
#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/modeling/image_encoder.h"
#include "segmenter_service/modeling/sam_config.h"

namespace segmenter {

// The steps are the plain encoder's, in place. `threads`: OpenMP threads that they will have.
// Throws as PackedBlocks.
std::shared_ptr<EncoderSteps> PackViT(ImageEncoderViT encoder, const ImageEncoderConfig& config,
                                      nn::onednn::Precision precision, int threads);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_VIT_H_
