// The objects of one image, asked of the two services: what the predictor makes regions of, and a
// bulk run its outputs.
//
// Each is to be awaited from a variable (docs/adr/0502-gcc12-coroutines.md). The client outlives
// it.
#ifndef DUET_PRELABEL_IMAGE_OBJECTS_H_
#define DUET_PRELABEL_IMAGE_OBJECTS_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <boost/asio/awaitable.hpp>
#include <vector>

#include "backends/client.h"
#include "duet/detector/v1/detector.pb.h"
#include "label_studio/result.h"
#include "vision/geometry.h"

namespace prelabel {

struct ImageObjects {
  vision::Size size;  // upright
  std::vector<label_studio::Object> objects;
};

// What the detector finds. Errors are the client's; Internal for an answer that is none.
boost::asio::awaitable<absl::StatusOr<ImageObjects>> DetectObjects(
    backends::DetectorClient& detector, backends::ImageRef image,
    duet::detector::v1::DetectRequest request, backends::CallOptions call);

// Gives the objects that have no mask the segmenter's best one of their boxes, in one call.
// `objects` outlives the coroutine. Errors as above; then none has got a mask.
boost::asio::awaitable<absl::Status> AddMasks(backends::SegmenterClient& segmenter,
                                              backends::ImageRef image, backends::CallOptions call,
                                              std::vector<label_studio::Object>* objects);

}  // namespace prelabel

#endif  // DUET_PRELABEL_IMAGE_OBJECTS_H_
