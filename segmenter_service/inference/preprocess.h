// From a decoded image to the encoder's input, and from the image's coordinates to the input's.
//
// The input is a square. SAM scales an image's longest side to the input's side, puts the result
// into the top-left corner and fills the rest with zeros; SAM 2 stretches the image over all of
// it. Prompts are moved in the same way. Knows no Torch.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_PREPROCESS_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_PREPROCESS_H_

#include <opencv2/core/mat.hpp>

#include "vision/geometry.h"
#include "vision/mask_renderer.h"

namespace segmenter {

enum class Framing { kLongestSide, kStretch };

// Where an image lies in the network's square input.
struct InputGeometry {
  vision::Size original;  // of the upright image, pixels
  vision::Size resized;   // the part of the input that it covers, pixels
  int image_size = 0;     // side of the input, pixels
  Framing framing = Framing::kLongestSide;

  // (x, y) in original pixels to input pixels, rounded as upstream's arithmetic does.
  vision::Point ToInput(vision::Point point) const;
};

// Neither side becomes 0: of an image 5000 times as wide as high a row is kept, where upstream's
// resize fails. REQUIRES: `original` is not empty.
InputGeometry FitInput(vision::Size original, int image_size,
                       Framing framing = Framing::kLongestSide);

// For masks of low_res_size x low_res_size logits, as Sam.postprocess_masks makes them: the padding
// is cropped before the image's size is restored. kStretch scales once. REQUIRES: `low_res_size`
// is at most geometry.image_size (a quarter of it where patches have 16 pixels, half where they
// have 8).
vision::MaskRenderer MakeMaskRenderer(const InputGeometry& geometry, int low_res_size);

// Scales, channels B, G, R: kLongestSide with Pillow's filter to CV_8UC3 in 0..255, kStretch with
// Torch's antialiased one to CV_32FC3 in 0..1. REQUIRES: `image` is CV_8UC3 of size
// geometry.original.
cv::Mat ResizeToInput(const cv::Mat& image, const InputGeometry& geometry);

// Normalises to ImageNet's mean and deviation, then pads with zeros: writes 3 * image_size^2
// floats, planes R, G, B. REQUIRES: `resized` is ResizeToInput's.
void NormalizeAndPad(const cv::Mat& resized, const InputGeometry& geometry, float* planes);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_PREPROCESS_H_
