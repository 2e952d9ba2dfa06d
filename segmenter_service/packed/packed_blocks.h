// PackedBlocks: the transformer blocks of SAM's image encoder as they run on a CPU. They do the
// same arithmetic as the plain modules (modeling/image_encoder.h), which are the source of truth,
// with packed weights, fused bias, GELU and residual, and with the attention of a few queries at a
// time, head by head, so that all scores never exist at once.
//
// Windowed blocks compute queries, keys and values of real tokens only: a pad token is zero after
// the norm, so its query, key and value are the projection's bias.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_BLOCKS_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "nn/onednn/precision.h"
#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/modeling/image_encoder.h"
#include "segmenter_service/modeling/sam_config.h"

namespace segmenter {

// Not thread-safe. Between two blocks, any other work may run, and Run for another image.
class PackedBlocks {
 public:
  // Copies what it needs from `encoder`. `threads`: OpenMP threads that Run will have. Throws
  // c10::Error or dnnl::error (nn::CatchTorch turns both into a Status).
  PackedBlocks(ImageEncoderViTImpl& encoder, const ImageEncoderConfig& config,
               nn::onednn::Precision precision, int threads);
  ~PackedBlocks();

  // Block `index`, in place, on tokens [grid * grid, C], float32, row-major.
  void Run(std::int64_t index, float* tokens, const Pause& pause = nullptr);

  std::size_t weight_bytes() const;

  // One implementation a precision.
  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_BLOCKS_H_
