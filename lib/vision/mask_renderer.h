// Turns a network's low-resolution mask logits into the mask at the image's size.
//
// Networks give logits of a few pixels each for their padded input. The references scale them to
// the input's size, crop, scale again to the image and threshold, both times bilinear. Both steps
// are linear and separable, so here they are one: each output row and column is a blend of at most
// three low-res ones. No intermediate image is made, and only one row of the full-size logits
// exists at a time. Results differ from the references' in the last bits only.
#ifndef DUET_VISION_MASK_RENDERER_H_
#define DUET_VISION_MASK_RENDERER_H_

#include <absl/types/span.h>

#include <vector>

#include "vision/mask.h"

namespace vision {

// The sizes along one axis, in pixels, in the order of the steps (align_corners=False).
struct MaskAxis {
  int low_res = 0;  // logits
  int input = 0;    // the network's input, to which the logits are scaled; not less than low_res
  int kept = 0;     // the first pixels of the input, which remain when the padding is cut off
  int scaled = 0;   // what the kept pixels are scaled to
  int image = 0;    // what the scaled pixels are cropped to; pixels beyond them are background
};

struct RenderedMask {
  Mask mask;  // of the image's size
  // |logits > threshold + offset| / |logits > threshold - offset|; 0 if both are empty.
  double stability_score = 0;
};

// One is made for each image and renders all of its masks. Immutable, so thread-safe.
class MaskRenderer {
 public:
  // REQUIRES: low_res >= 3, all others positive, kept <= input.
  MaskRenderer(const MaskAxis& columns, const MaskAxis& rows);

  // `logits`: rows.low_res * columns.low_res values, row-major. A pixel belongs to the mask if its
  // logit > `threshold`.
  RenderedMask Render(absl::Span<const float> logits, float threshold = 0,
                      float stability_offset = 1) const;

 private:
  // An output coordinate reads low-res ones [first, first + 3) with these weights, which sum to 1.
  struct Blend {
    int first;
    float weights[3];
  };
  static std::vector<Blend> Blends(const MaskAxis& axis);

  const Size image_;
  const int low_res_width_;
  const std::vector<Blend> columns_;
  const std::vector<Blend> rows_;
};

}  // namespace vision

#endif  // DUET_VISION_MASK_RENDERER_H_
