// What the shapes lie on: gradients, stripes, checks, blobs and grain, mixed from two colours.
#ifndef DUET_TRAINER_SCENES_BACKGROUND_H_
#define DUET_TRAINER_SCENES_BACKGROUND_H_

#include <opencv2/core/mat.hpp>

#include "trainer/scenes/random.h"

namespace trainer {

// CV_8UC3 of this size.
cv::Mat DrawBackground(Random& random, cv::Size size);

// How far along a wave of this `wavelength_px` running in direction `angle` (radians) each pixel
// is: CV_32FC1 in [0, 1]. `hard` makes it two-valued: stripes instead of a swell.
cv::Mat Wave(cv::Size size, double wavelength_px, double angle, double phase, bool hard);

}  // namespace trainer

#endif  // DUET_TRAINER_SCENES_BACKGROUND_H_
