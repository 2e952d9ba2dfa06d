#include "prelabel/image_objects.h"

#include <utility>

#include "prelabel/translate.h"

namespace prelabel {

using boost::asio::awaitable;
using label_studio::Object;

awaitable<absl::StatusOr<ImageObjects>> DetectObjects(backends::DetectorClient& detector,
                                                      backends::ImageRef image,
                                                      duet::detector::v1::DetectRequest request,
                                                      backends::CallOptions call) {
  auto pending = detector.Detect(std::move(image), std::move(request), std::move(call));
  const auto response = co_await std::move(pending);
  if (!response.ok()) co_return response.status();
  auto objects = ToObjects(*response);
  if (!objects.ok()) co_return objects.status();
  co_return ImageObjects{.size = {static_cast<int>(response->image_width()),
                                  static_cast<int>(response->image_height())},
                         .objects = *std::move(objects)};
}

awaitable<absl::Status> AddMasks(backends::SegmenterClient& segmenter, backends::ImageRef image,
                                 backends::CallOptions call, std::vector<Object>* objects) {
  std::vector<Object*> unmasked;
  std::vector<vision::Box> boxes;
  for (Object& object : *objects) {
    if (object.mask) continue;
    unmasked.push_back(&object);
    boxes.push_back(object.box);
  }
  if (boxes.empty()) co_return absl::OkStatus();
  auto pending = segmenter.Segment(std::move(image), ToSegmentRequest(boxes), std::move(call));
  const auto response = co_await std::move(pending);
  if (!response.ok()) co_return response.status();
  auto masks = BestMasks(*response, boxes.size());
  if (!masks.ok()) co_return masks.status();
  for (std::size_t i = 0; i < unmasked.size(); ++i) {
    unmasked[i]->mask = std::move((*masks)[i].mask);
    unmasked[i]->mask_score = (*masks)[i].score;
  }
  co_return absl::OkStatus();
}

}  // namespace prelabel
