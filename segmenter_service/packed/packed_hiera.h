// SAM 2's image encoder as it runs on a CPU, and what its mask decoder makes of the encoder's finer
// levels for every image.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_HIERA_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_HIERA_H_

#include <memory>

#include "nn/onednn/precision.h"
#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/modeling/sam2.h"

namespace segmenter {

// The steps are the plain ones, on tokens [1, grid, grid, C]; Finish gives `high_res` instead of
// `levels`. Weights are copied. `threads`: OpenMP threads that the steps will have. Throws
// c10::Error or dnnl::error.
std::shared_ptr<EncoderSteps> PackHiera(const Sam2& model, nn::onednn::Precision precision,
                                        int threads);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_HIERA_H_
