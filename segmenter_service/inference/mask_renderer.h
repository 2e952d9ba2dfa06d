// From low-res logits to the mask at the picture's size.
//
// Upstream (Sam.postprocess_masks) scales the logits to the input's size, crops the padding and
// scales again to the original size, both bilinear, then thresholds. Both steps are linear and
// separable, so here they are one: each output row and column is a blend of at most three low-res
// ones. The 1024x1024 step between is never made, and of the full-size logits there is one row at a
// time. Results differ from upstream's in last bits only.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_MASK_RENDERER_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_MASK_RENDERER_H_

#include <absl/types/span.h>

#include <vector>

#include "segmenter_service/inference/preprocess.h"
#include "vision/mask.h"

namespace segmenter {

struct RenderedMask {
  vision::Mask mask;  // original size
  // |logits > threshold + offset| / |logits > threshold - offset|; 0 if both are empty.
  double stability_score = 0;
};

// Made once an image, used for all of its masks. Immutable, so thread-safe.
class MaskRenderer {
 public:
  // REQUIRES: `low_res_size` is at most geometry.image_size (a quarter of it where patches have 16
  // pixels, half where they have 8).
  MaskRenderer(const InputGeometry& geometry, int low_res_size);

  // `logits`: low_res_size^2 values, row-major. A pixel belongs to the mask if its logit >
  // `threshold`.
  RenderedMask Render(absl::Span<const float> logits, float threshold = 0,
                      float stability_offset = 1) const;

 private:
  // An output coordinate reads low-res ones [first, first + 3) with these weights, which sum to 1.
  struct Blend {
    int first;
    float weights[3];
  };
  static std::vector<Blend> Blends(int original, int resized, int image_size, int low_res_size);

  const int low_res_size_;
  const std::vector<Blend> columns_;
  const std::vector<Blend> rows_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_MASK_RENDERER_H_
