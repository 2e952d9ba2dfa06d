// Masks in other frames than the one they were drawn in. Internal to augment.
//
// A mask is resampled once, when everything that moves and stretches it is known: resampling after
// each step, as on bitmaps, would wear its outline down. A pixel belongs to it if the source's
// pixel that holds its centre does. This is what upstream gets from polygons, which it moves as
// they are and rasterises in the end; it is exact for masks of pixels, too.
#ifndef DUET_TRAINER_AUGMENT_MASK_FRAME_H_
#define DUET_TRAINER_AUGMENT_MASK_FRAME_H_

#include "vision/geometry.h"
#include "vision/mask.h"

namespace trainer {

// From the source's coordinates to a frame's: x · scale_x + offset_x, and so for y. Scales are
// positive.
struct FrameMap {
  double scale_x = 1;
  double scale_y = 1;
  double offset_x = 0;
  double offset_y = 0;
};

// `map`, and then scaled and moved.
FrameMap Scaled(FrameMap map, double scale_x, double scale_y);
FrameMap Moved(FrameMap map, double offset_x, double offset_y);

// The part that lies inside of a frame of `size`.
vision::Mask Resample(const vision::Mask& mask, const FrameMap& map, vision::Size size);

// The box around that part, to fractions of a pixel: pixels of the source are squares. All zeros if
// there is none.
vision::Box BoundsInFrame(const vision::Mask& mask, const FrameMap& map, vision::Size size);

// Mirrored left to right.
vision::Mask Flipped(const vision::Mask& mask);

}  // namespace trainer

#endif  // DUET_TRAINER_AUGMENT_MASK_FRAME_H_
