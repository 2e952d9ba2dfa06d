// Decoding of what a request sent, told to the operator where the file was damaged.
#ifndef DUET_MODEL_SERVICE_DECODE_IMAGE_H_
#define DUET_MODEL_SERVICE_DECODE_IMAGE_H_

#include <absl/status/statusor.h>

#include <opencv2/core/mat.hpp>
#include <string_view>

#include "serving/metrics.h"
#include "serving/request_context.h"
#include "vision/image_codec.h"

namespace model_service {

inline constexpr serving::CounterSpec kDamagedImages{
    "duet_damaged_images_total",
    "Images that were decoded though they are cut off or damaged, as a browser shows them."};

// As vision::DecodeImage: CV_8UC3, BGR, upright. A damaged image is counted, and a warning
// "image.damaged" in the log has the ids of `request` (null: of none), which may name a task, the
// image's SHA-256, and what is wrong with it. Thread-safe.
absl::StatusOr<cv::Mat> DecodeImage(std::string_view bytes, const vision::ImageLimits& limits,
                                    const serving::RequestContext* request,
                                    serving::Metrics& metrics);

}  // namespace model_service

#endif  // DUET_MODEL_SERVICE_DECODE_IMAGE_H_
