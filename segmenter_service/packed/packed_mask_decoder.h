// The mask decoder (modeling/mask_decoder.h) as it runs on a CPU.
//
// A prompt has some ten tokens, the image 4096 cells. Upstream projects all cells to queries, keys
// and values in each of its five cross attentions, and keeps what every step makes of them. Here
// projections move to the tokens' side (two_way_attention.h), and cells pass a block at a time, so
// that what they become stays in a core's L2 cache. They pass once for each attention of the
// tokens, which takes the preceding attention of the cells along, and once to be scaled up to
// masks.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_MASK_DECODER_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_MASK_DECODER_H_

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "segmenter_service/modeling/mask_decoder.h"

namespace segmenter {

// One Run at a time.
class PackedMaskDecoder {
 public:
  // Whether it can run a decoder of these sizes; it can run the official ones.
  static bool Supports(const MaskDecoderConfig& config, std::int64_t dim);

  // Copies what it needs, but keeps `decoder` for what follows the masks (MaskDecoderImpl::Refine,
  // Select). `positions` [1, C, grid, grid]. `threads`: OpenMP threads that Run will have.
  // REQUIRES: Supports(decoder->config, C).
  PackedMaskDecoder(MaskDecoder decoder, const at::Tensor& positions, int threads);
  ~PackedMaskDecoder();

  // Returns what decoder->Select(decoder->forward(...), multimask_output) does, up to rounding. The
  // arguments are forward's, on the CPU.
  DecodedMasks Run(const at::Tensor& image_embeddings, const at::Tensor& sparse,
                   const at::Tensor& dense, const std::vector<at::Tensor>& high_res,
                   bool multimask_output);

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_MASK_DECODER_H_
