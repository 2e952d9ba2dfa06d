// From an image to the network's input: scaled and padded by the model's rule (Resize), then
// normalized.
//
// Equal to the reference to the bit (mmdet's and mmyolo's transforms and data preprocessors): cv2's
// 8-bit resizes, sides computed in double as Python does, (x - mean) / std in float32 with a true
// division.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_PREPROCESS_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_PREPROCESS_H_

#include <absl/status/statusor.h>

#include <opencv2/core/mat.hpp>

#include "detector_service/config/detector_settings.h"
#include "vision/geometry.h"

namespace detector {

// How the image lies in the input: input pixel = image pixel * scale + padding, per axis (the
// two scales differ by rounding).
struct Placement {
  vision::Size image;  // the image's size
  double scale_x = 1;
  double scale_y = 1;
  int left = 0;  // padding before the image, input pixels
  int top = 0;
  // The image with the padding that the pipeline added: what mmdet clamps boxes to.
  vision::Size padded;
  // The network's input; larger than `padded` where the data preprocessor pads, too.
  vision::Size input;
};

// Where an image of this size comes to lie. InvalidArgument if the network can't run the input: its
// sides must be multiples of 32, as upstream's.
absl::StatusOr<Placement> PlaceImage(vision::Size image, const DetectorSettings& settings);

// Whether all images become inputs of one size.
bool HasOneInputSize(const DetectorSettings& settings);

// The image (CV_8UC3, BGR, not empty) scaled and padded: CV_8UC3 of placement->padded.
absl::StatusOr<cv::Mat> FitImage(const cv::Mat& image, const DetectorSettings& settings,
                                 Placement* placement);

// Normalizes `fitted` into `input`: [3, H, W] floats of size `input_size`, the network's channel
// order. What `fitted` does not cover, at the right and bottom, is settings.batch_pad_value.
void Normalize(const cv::Mat& fitted, const DetectorSettings& settings, vision::Size input_size,
               float* input);
// The same without padding.
void Normalize(const cv::Mat& fitted, const DetectorSettings& settings, float* input);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_PREPROCESS_H_
