// SAM 2's image encoder as it runs on a CPU: patches and neck are the plain module's, the trunk's
// blocks are packed.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_HIERA_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_HIERA_H_

#include <memory>

#include "nn/onednn/precision.h"
#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/modeling/sam2.h"

namespace segmenter {

// The steps are the plain ones, on tokens [1, grid, grid, C]. `threads`: OpenMP threads that they
// will have. Throws c10::Error or dnnl::error.
std::shared_ptr<EncoderSteps> PackHiera(Sam2 model, nn::onednn::Precision precision, int threads);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_HIERA_H_
