// Small objects in large images: looked for in overlapping tiles, where they are larger to the
// model, and once in the whole image. Source: sahi/predict.py, get_sliced_prediction.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_SLICED_DETECTION_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_SLICED_DETECTION_H_

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <vector>

#include "detector_service/inference/detection_model.h"
#include "vision/merge_boxes.h"

namespace detector {

inline constexpr std::int64_t kMostTiles = 16384;
inline constexpr int kSmallestTile = 64;

struct SlicingOptions {
  int tile_size = 0;          // side of a tile, pixels of the image, at least kSmallestTile
  int overlap = 0;            // pixels, less than tile_size
  vision::MergeOptions join;  // for rotated boxes: kNms, and the overlap of the turned boxes counts
  bool whole_image = true;
};

// Whether `image` is more than a tile.
bool NeedsSlices(vision::Size image, const SlicingOptions& slicing);

// The joined list, best first, in pixels of the image. `options` as in Detect for each look, but
// max_detections is of the joined list, and boxes are always clipped to their tile. `go_on` is
// asked before each look: an error of its ends the work and is returned. InvalidArgument for more
// than kMostTiles. REQUIRES: NeedsSlices; `image` as in Detect. Thread-safe as Detect is; others
// compute between the looks.
absl::StatusOr<std::vector<Detection>> DetectInSlices(DetectionModel& model, const cv::Mat& image,
                                                      const DetectOptions& options,
                                                      const SlicingOptions& slicing,
                                                      absl::FunctionRef<absl::Status()> go_on);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_SLICED_DETECTION_H_
