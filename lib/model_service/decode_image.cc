#include "model_service/decode_image.h"

#include <cstdint>
#include <utility>

#include "hash/sha256.h"
#include "serving/log.h"

namespace model_service {

absl::StatusOr<cv::Mat> DecodeImage(std::string_view bytes, const vision::ImageLimits& limits,
                                    const serving::RequestContext* request,
                                    serving::Metrics& metrics) {
  absl::StatusOr<vision::DecodedImage> image = vision::DecodeImage(bytes, limits);
  if (!image.ok()) return image.status();
  if (!image->damage.empty()) {
    metrics.Get(kDamagedImages).Increment();
    serving::LogLine line("image.damaged", serving::LogLevel::kWarning);
    if (request != nullptr) line.Request(*request);
    line.Str("image_id", hash::Sha256Hex(bytes))
        .Int("bytes", static_cast<std::int64_t>(bytes.size()))
        .Int("width", image->pixels.cols)
        .Int("height", image->pixels.rows)
        .Str("damage", image->damage);
  }
  return std::move(image->pixels);
}

}  // namespace model_service
