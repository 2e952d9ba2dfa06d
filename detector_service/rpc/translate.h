// Between the wire's messages and the detector's types.
#ifndef DUET_DETECTOR_SERVICE_RPC_TRANSLATE_H_
#define DUET_DETECTOR_SERVICE_RPC_TRANSLATE_H_

#include <absl/status/statusor.h>

#include <optional>
#include <vector>

#include "detector_service/inference/detection_model.h"
#include "detector_service/inference/sliced_detection.h"
#include "duet/detector/v1/detector.pb.h"
#include "vision/geometry.h"

namespace detector {

// InvalidArgument, naming the field, for values out of range (NaN is) and unknown classes.
absl::StatusOr<DetectOptions> ReadOptions(const duet::detector::v1::DetectRequest& request,
                                          const DetectionModel& model);

// How to slice images; nothing if the request doesn't want that. InvalidArgument, naming the field.
// `options`: the same request's.
absl::StatusOr<std::optional<SlicingOptions>> ReadSlicing(
    const duet::detector::v1::DetectRequest& request, const DetectOptions& options,
    const DetectionModel& model);

// What a request wants of each mask.
struct MaskFormats {
  bool coco_rle = false;
  bool row_runs = false;
};

// None listed: COCO's code alone. InvalidArgument for unknown formats.
absl::StatusOr<MaskFormats> ReadFormats(const duet::detector::v1::DetectRequest& request);

// All but the timing and the model's name.
void WriteResponse(const std::vector<Detection>& detections, const DetectionModel& model,
                   vision::Size image, const MaskFormats& formats,
                   duet::detector::v1::DetectResponse* response);

// All but the name that it serves under.
void WriteModelInfo(const DetectionModel& model, duet::vision::v1::ModelInfo* info);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RPC_TRANSLATE_H_
