// From a network's low-res mask logits to the mask at the picture's size.
//
// Networks give logits of a few pixels each for their padded input. The references scale them to
// the input's size, crop, scale again to the picture and threshold, both times bilinear. Both steps
// are linear and separable, so here they are one: each output row and column is a blend of at most
// three low-res ones. Nothing between is ever made, and of the full-size logits there is one row at
// a time. Results differ from the references' in last bits only.
#ifndef DUET_VISION_MASK_RENDERER_H_
#define DUET_VISION_MASK_RENDERER_H_

#include <absl/types/span.h>

#include <vector>

#include "vision/mask.h"

namespace vision {

// What happens along one axis, in pixels (align_corners=False).
struct MaskAxis {
  int low_res = 0;  // logits
  int input = 0;    // what these are scaled to: at least as many
  int kept = 0;     // the first of these are kept,
  int scaled = 0;   // scaled to so many,
  int picture = 0;  // and cropped to the picture; where it is larger, the rest is background
};

struct RenderedMask {
  Mask mask;  // of the picture's size
  // |logits > threshold + offset| / |logits > threshold - offset|; 0 if both are empty.
  double stability_score = 0;
};

// Made once a picture, used for all of its masks. Immutable, so thread-safe.
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

  const Size picture_;
  const int low_res_width_;
  const std::vector<Blend> columns_;
  const std::vector<Blend> rows_;
};

}  // namespace vision

#endif  // DUET_VISION_MASK_RENDERER_H_
