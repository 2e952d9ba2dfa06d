// What the decoders of all formats give.
#ifndef DUET_VISION_DECODED_IMAGE_H_
#define DUET_VISION_DECODED_IMAGE_H_

#include <opencv2/core/mat.hpp>
#include <string>

namespace vision {

struct DecodedImage {
  cv::Mat pixels;  // CV_8UC3, channels B, G, R
  // Empty, or one clause that says why some pixels are not those of the camera: the file is cut
  // off, or its data is damaged. Pixels of which nothing is known are grey in a JPEG, black in a
  // PNG and a BMP, the canvas' colour in a GIF.
  std::string damage;
};

}  // namespace vision

#endif  // DUET_VISION_DECODED_IMAGE_H_
