// The mask decoder (modeling/mask_decoder.h) as it runs on a CPU.
//
// A prompt is some ten tokens, the picture 4096 cells. Upstream projects all cells to queries, keys
// and values in each of its five cross attentions, and keeps what every step makes of them. Here
// cells are never projected: a score is
//
//   (W_q token) · (W_k cell) = (W_kᵀ W_q token) · cell,
//
// and a weighted sum of projected cells is the projection of the weighted sum, so projections move
// to the tokens' side (the keys' bias adds the same to all scores of a token and drops out of the
// softmax). And the cells pass few at a time, so that what they become lies in a core's cache:
// once an attention of the tokens, with the attention of the cells that came before it, and once to
// be scaled up to masks.
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
  // Whether the sizes are ones that it can do: the official ones are.
  static bool Supports(const MaskDecoderConfig& config, std::int64_t dim);

  // Copies what it needs, but for most of what follows the masks (MaskDecoderImpl::Refine), which
  // stays `decoder`'s. `positions` [1, C, grid, grid]. `threads`: OpenMP threads that Run will
  // have. REQUIRES: Supports.
  PackedMaskDecoder(MaskDecoder decoder, const at::Tensor& positions, int threads);
  ~PackedMaskDecoder();

  // What decoder->Select(decoder->forward(...), multimask_output) returns; arguments as forward's,
  // on the CPU. Masks that are no answers are not made where the answers don't depend on them.
  DecodedMasks Run(const at::Tensor& image_embeddings, const at::Tensor& sparse,
                   const at::Tensor& dense, const std::vector<at::Tensor>& high_res,
                   bool multimask_output);

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_MASK_DECODER_H_
