// Masks of everything in an image: upstream's SamAutomaticMaskGenerator
// (segment_anything/automatic_mask_generator.py).
//
// Each point of a grid is a prompt for three masks. Masks are dropped that the model doubts, that
// change with the threshold, or that repeat others. Optionally the same is done again on
// overlapping crops, for small things. Knows neither queue nor network: the caller passes in what
// they do.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_MASK_GENERATOR_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_MASK_GENERATOR_H_

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <functional>
#include <memory>
#include <vector>

#include "segmenter_service/inference/embedding_cache.h"
#include "segmenter_service/inference/prompt.h"
#include "segmenter_service/inference/sam_network.h"
#include "vision/geometry.h"
#include "vision/mask.h"

namespace segmenter {

// Names and defaults are upstream's.
struct MaskGeneratorOptions {
  int points_per_side = 32;
  int points_per_batch = 64;
  float pred_iou_thresh = 0.88f;
  float stability_score_thresh = 0.95f;
  float stability_score_offset = 1.0f;
  float box_nms_thresh = 0.7f;
  int crop_n_layers = 0;
  float crop_nms_thresh = 0.7f;
  double crop_overlap_ratio = 512.0 / 1500.0;
  int crop_n_points_downscale_factor = 1;
  int min_mask_region_area = 0;  // pixels; holes and islands smaller than this are removed
  float mask_threshold = 0;      // logits
};

// InvalidArgument, naming the field, for numbers that make no sense or would take hours.
absl::Status CheckOptions(const MaskGeneratorOptions& options);

struct GeneratedMask {
  vision::Mask mask;  // original size
  float iou_score = 0;
  double stability_score = 0;
  vision::Point point;   // the prompt that gave it, original pixels
  vision::Box crop_box;  // original pixels
};

// What the generator calls. An error of any of them ends it.
struct MaskGeneratorSteps {
  // The embedding of that part of the image (whole pixels); the first one is all of it.
  std::function<absl::StatusOr<std::shared_ptr<const ImageEmbedding>>(const vision::Box& crop)>
      embed;
  // Three masks a prompt; prompts are in the input's frame.
  std::function<absl::StatusOr<LowResMasks>(const std::shared_ptr<const ImageEmbedding>&,
                                            absl::Span<const Prompt>)>
      decode;
  std::function<absl::Status(int prompts_done, int prompts_total)> progress;
};

// In upstream's order. REQUIRES: CheckOptions(options) is OK.
absl::StatusOr<std::vector<GeneratedMask>> GenerateMasks(vision::Size image,
                                                         const MaskGeneratorOptions& options,
                                                         const MaskGeneratorSteps& steps);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_MASK_GENERATOR_H_
