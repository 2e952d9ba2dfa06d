// Between images' objects and prompts, as the rest of prelabel has them, and the messages of the
// two services (proto/). Boxes, points and masks are in pixels of the upright image on both sides.
#ifndef DUET_PRELABEL_TRANSLATE_H_
#define DUET_PRELABEL_TRANSLATE_H_

#include <absl/status/statusor.h>

#include <vector>

#include "duet/detector/v1/detector.pb.h"
#include "duet/segmenter/v1/segmenter.pb.h"
#include "label_studio/context.h"
#include "label_studio/result.h"
#include "prelabel/settings.h"
#include "vision/geometry.h"
#include "vision/mask.h"

namespace prelabel {

// `needs_masks`: regions will be made of masks. For Score::kUncertainty it asks for weak objects,
// too, which TakeWeak removes again.
duet::detector::v1::DetectRequest ToDetectRequest(const Settings& settings, bool needs_masks);

// Leaves those of `objects`, which come best first, that are above the settings' threshold and
// among their best `max_detections`: what is written, whatever else was asked for.
void TakeWeak(const Settings& settings, std::vector<label_studio::Object>* objects);

// Internal if the detector sent a mask that is none.
absl::StatusOr<std::vector<label_studio::Object>> ToObjects(
    const duet::detector::v1::DetectResponse& response);

// One prompt a box, in order.
duet::segmenter::v1::SegmentRequest ToSegmentRequest(const std::vector<vision::Box>& boxes);

// The prompt of an annotator for an image of `size`, which may differ from what the editor
// measured. `low_res_size`: side of the model's mask prompts.
duet::segmenter::v1::SegmentRequest ToSegmentRequest(const label_studio::InteractivePrompt& prompt,
                                                     vision::Size size, int low_res_size);

struct ScoredMask {
  vision::Mask mask;
  float score = 0;  // the model's own estimate of the IoU
};

// The best mask of each prompt, by score. Internal if the segmenter sent results for another number
// of prompts than `prompts`, no mask for one, or a mask that is none.
absl::StatusOr<std::vector<ScoredMask>> BestMasks(
    const duet::segmenter::v1::SegmentResponse& response, std::size_t prompts);

}  // namespace prelabel

#endif  // DUET_PRELABEL_TRANSLATE_H_
