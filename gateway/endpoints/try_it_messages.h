// What the page at /ui asks and is answered, as JSON: bodies checked and typed, and answers
// written.
//
// Coordinates are pixels of the upright image. A mask is its row runs: lengths of background and
// foreground in turn, row by row, beginning with background (vision/mask_rle.h).
#ifndef DUET_GATEWAY_ENDPOINTS_TRY_IT_MESSAGES_H_
#define DUET_GATEWAY_ENDPOINTS_TRY_IT_MESSAGES_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "duet/segmenter/v1/segmenter.pb.h"
#include "label_studio/result.h"
#include "label_studio/task.h"
#include "prelabel/image_objects.h"
#include "prelabel/translate.h"

namespace gateway::endpoints {

// All parsers: InvalidArgument names the field, what was found and what is needed;
// ResourceExhausted if there is no memory for the body.

// {"image": "data:image/png;base64,…"}: the URI.
absl::StatusOr<std::string> ParseUpload(std::string_view body,
                                        const label_studio::RequestLimits& limits);
// {"image_id": "…"}.
absl::StatusOr<std::string> ParseImageId(std::string_view body,
                                         const label_studio::RequestLimits& limits);

// {"image_id": "…", "prompts": [{"points": [[x, y, 1], [x, y, 0]], "box": [x0, y0, x1, y1]}]}: of
// a point 1 says that it belongs to the object, 0 that it doesn't. A prompt has a point of the
// first kind or a box; points alone that say what isn't wanted select nothing, and are refused.
struct Prompts {
  static constexpr std::size_t kMaxPrompts = 100;
  static constexpr std::size_t kMaxPoints = 1000;  // of one prompt

  std::string image_id;
  duet::segmenter::v1::SegmentRequest request;  // without its image
};
absl::StatusOr<Prompts> ParsePrompts(std::string_view body,
                                     const label_studio::RequestLimits& limits);

// {"box": [x0, y0, x1, y1], "rotated_box": [center x, center y, width, height, radians], "label":
// "cat", "score": 0.9, "mask": [runs]}; what an object hasn't, isn't there.
boost::json::object ToJson(const label_studio::Object& object);
// {"score": 0.9, "box": [...], "mask": [runs]}. An empty mask has no box.
boost::json::object ToJson(const prelabel::ScoredMask& mask);

}  // namespace gateway::endpoints

#endif  // DUET_GATEWAY_ENDPOINTS_TRY_IT_MESSAGES_H_
