// The end of the mask decoder as it runs on a CPU: cells are scaled up by four, a few at a time,
// and multiplied with what the hypernetworks made of the mask tokens.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_UPSCALING_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_UPSCALING_H_

#include <cstdint>
#include <vector>

#include "nn/onednn/aligned.h"
#include "segmenter_service/modeling/mask_decoder.h"
#include "segmenter_service/packed/packed_layers.h"
#include "segmenter_service/packed/small_linear.h"

namespace segmenter {

// OutputUpscaling (modeling/mask_decoder.h), and the masks' logits. Immutable; Run may be called
// from several threads at once, each with scratch of its own.
class PackedUpscaling {
 public:
  // Copies what it needs. `dim`: C; `grid`: side of the embedding.
  PackedUpscaling(const OutputUpscaling& module, std::int64_t dim, std::int64_t grid);

  // One prompt's; all dense.
  struct Task {
    const float* cells = nullptr;  // [grid * grid, C]
    // SAM 2's maps, added on the way, [C / 8, 4 grid, 4 grid] and [C / 4, 2 grid, 2 grid]; or null.
    const float *full_map = nullptr, *half_map = nullptr;
    const float* weights = nullptr;  // of the masks, [C / 8, masks rounded up]
    std::int64_t masks = 0;
    float* logits = nullptr;    // [masks, 4 grid, 4 grid]
    float* upscaled = nullptr;  // [C / 8, 4 grid, 4 grid], or null
  };
  // What a thread needs.
  struct Scratch {
    nn::onednn::AlignedVector<float> half, full, pixels;
  };
  // On all OpenMP threads; `scratch` grows to one for each.
  void Run(const Task& task, std::vector<Scratch>* scratch) const;

 private:
  // Cells [first, first + count).
  void RunBlock(const Task& task, std::int64_t first, std::int64_t count, Scratch* scratch) const;
  // Calls visit(index, y, x) for each of the pixels that cells [first, first + count) become in
  // `doublings` of both axes; a cell's pixels lie next to each other in memory.
  template <typename Visit>
  void ForEachPixel(std::int64_t first, std::int64_t count, int doublings,
                    const Visit& visit) const;

  const std::int64_t dim_, grid_;
  const SmallLinear up1_, up2_;
  const RowNorm norm_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_UPSCALING_H_
