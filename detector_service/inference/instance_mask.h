// RTMDet-Ins's masks: the small network that a cell predicted is run over the image's mask
// features, and the result is scaled to the image.
//
// Source: mmdet/models/dense_heads/rtmdet_ins_head.py (_mask_predict_by_feat_single,
// _bbox_mask_post_process).
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_INSTANCE_MASK_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_INSTANCE_MASK_H_

#include <vector>

#include "detector_service/inference/preprocess.h"
#include "vision/geometry.h"
#include "vision/mask.h"
#include "vision/mask_renderer.h"

namespace detector {

// Made once an image and used for all of its masks. Immutable, so thread-safe.
class InstanceMasks {
 public:
  // `features`: [cells of `grid`, kMaskFeatures] in row-major order, at the finest stride; must
  // outlive this. A pixel belongs to a mask if its probability > `threshold`.
  InstanceMasks(const float* features, vision::Size grid, const Placement& placement,
                double threshold);

  // The mask that the cell (x, y) of `level` draws with its `kernel`: kMaskKernelSize floats, the
  // weights of all three convolutions (rows are outputs), then their biases.
  vision::Mask Draw(const float* kernel, int level, int x, int y) const;

 private:
  std::vector<float> Logits(const float* kernel, int level, int x, int y) const;

  const float* const features_;
  const vision::Size grid_;
  const float logit_threshold_;
  const vision::MaskRenderer renderer_;
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_INSTANCE_MASK_H_
