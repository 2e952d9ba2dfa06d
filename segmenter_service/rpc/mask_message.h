// Masks and prompts to and from their messages. No arithmetic on logits here.
#ifndef DUET_SEGMENTER_SERVICE_RPC_MASK_MESSAGE_H_
#define DUET_SEGMENTER_SERVICE_RPC_MASK_MESSAGE_H_

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <vector>

#include "duet/segmenter/v1/segmenter.pb.h"
#include "segmenter_service/inference/prompt.h"
#include "vision/mask_renderer.h"

namespace segmenter {

// What a request wants of each mask.
struct MaskFormats {
  bool coco_rle = false;
  bool row_runs = false;
  bool polygons = false;
  bool png = false;
  bool low_res_logits = false;
  double polygon_tolerance_px = 1;
};

// None listed: COCO's code alone. InvalidArgument for unknown formats and a tolerance below 0.
template <typename Request>
absl::StatusOr<MaskFormats> ReadFormats(const Request& request);
extern template absl::StatusOr<MaskFormats> ReadFormats(const duet::segmenter::v1::SegmentRequest&);
extern template absl::StatusOr<MaskFormats> ReadFormats(
    const duet::segmenter::v1::SegmentEverythingRequest&);

// InvalidArgument, naming the prompt, for mask bytes that are no row of float32 values; the rest is
// CheckPrompt's.
absl::StatusOr<std::vector<Prompt>> ReadPrompts(const duet::segmenter::v1::SegmentRequest& request);

// Everything but `iou_score`. Only what `formats` asks for is computed. Internal if a PNG cannot be
// written.
absl::Status WriteMask(const vision::RenderedMask& rendered, absl::Span<const float> low_res_logits,
                       const MaskFormats& formats, duet::segmenter::v1::Mask* message);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_RPC_MASK_MESSAGE_H_
