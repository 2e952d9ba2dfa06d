// mmdet's training transforms, one by one, with the random choices as parameters. Internal to
// augment. Each gives the pixels and boxes of the transform of mmdet 3.3 that is named with it;
// masks follow the pixels (mask_frame.h).
//
// All throw cv::Exception or std::bad_alloc where memory runs out.
#ifndef DUET_TRAINER_AUGMENT_TRANSFORMS_H_
#define DUET_TRAINER_AUGMENT_TRANSFORMS_H_

#include <array>
#include <cstddef>
#include <memory>
#include <opencv2/core/mat.hpp>
#include <vector>

#include "trainer/augment/mask_frame.h"
#include "trainer/samples/image_source.h"
#include "vision/geometry.h"
#include "vision/mask.h"

namespace trainer {

// A TrainingObject on its way. Its mask, if it has one, is still in the frame that it was drawn in;
// `map` leads to this one.
struct FramedObject {
  vision::Box box;
  int class_index = 0;
  bool ignored = false;
  std::shared_ptr<const vision::Mask> mask;
  FrameMap map;
};

// An image in the making. Pixels may be shared with others: nothing here writes into them, but for
// ShiftColours.
struct Frame {
  cv::Mat image;  // CV_8UC3, BGR
  std::vector<FramedObject> objects;
};

// `masks`: keeps them, and ignores objects that have none (Pipeline::masks).
Frame ToFrame(const TrainingImage& image, bool masks);
TrainingImage ToTrainingImage(const Frame& frame);
// About.
std::size_t BytesOf(const Frame& frame);

// An image at the size that it has in a mosaic, its longer side `side`. The boxes are in it as
// well; they are the image's times the very ratio, where the pixels were rounded down to a whole
// number: they may reach over its right or lower edge by less than a pixel, as upstream's do.
Frame MosaicTile(const Frame& image, int side);

// CachedMosaic: four tiles about `centre`, left to right and top to bottom, on a canvas of 2 ·
// side. Objects that are outside of it are left out.
Frame Mosaic(const std::array<const Frame*, 4>& tiles, cv::Point centre, int side, int pad_value);

// RandomResize with keep_ratio, for a square scale: the longer side becomes `longer_side`.
Frame Resized(const Frame& frame, int longer_side);

// RandomCrop. REQUIRES: `window` is inside of the image. Objects that are outside of it are left
// out. Masks are resampled here. `recompute_boxes`: boxes are drawn anew around what is left of the
// masks; edges that the crop didn't change stay as they were annotated.
Frame Cropped(const Frame& frame, const cv::Rect& window, bool recompute_boxes);

// YOLOXHSVRandomAug, in place: hue, saturation and value plus `gains`. The pixels must be of this
// frame alone.
void ShiftColours(const std::array<int, 3>& gains, cv::Mat* image);

// RandomFlip, horizontal. REQUIRES: masks are in this frame.
Frame FlippedFrame(const Frame& frame);

// Pad: to a square, at the right and at the bottom. REQUIRES: masks are in this frame.
Frame Padded(const Frame& frame, int side, int pad_value);

struct MixUpChoice {
  double ratio = 1;
  bool flip = false;
  // Of the part that is taken where the partner is larger after scaling.
  cv::Point offset;
};
// The size of the partner after scaling, and with it the range of offsets: 0 to this minus the
// frame's size, if that is positive.
int MixUpSide(int side, double ratio);

// CachedMixUp: the mean of both images, and the objects of both. REQUIRES: both are squares of
// `side`, their masks in their frames.
Frame MixedUp(const Frame& frame, const Frame& partner, const MixUpChoice& choice, int side,
              int pad_value);

// FilterAnnotations: removes boxes that are not wider and higher than a pixel. False if there were
// boxes and all are gone.
bool FilterSmallBoxes(Frame* frame);

}  // namespace trainer

#endif  // DUET_TRAINER_AUGMENT_TRANSFORMS_H_
