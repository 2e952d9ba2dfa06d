// How good a checkpoint is on scenes that it has not seen, computed by the code that serves it:
// images go in as a client sends them, detections and masks come out as a client gets them. Knows
// no Torch.
#ifndef DUET_TRAINER_EVALUATE_HELD_OUT_SCORES_H_
#define DUET_TRAINER_EVALUATE_HELD_OUT_SCORES_H_

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "trainer/evaluate/coco_scores.h"
#include "trainer/evaluate/mistakes.h"
#include "trainer/scenes/scene.h"

namespace trainer {

struct DetectorScore {
  CocoEvaluation boxes;  // classes are shapes
  Mistakes mistakes;     // at the service's default score threshold of 0.5
};

// Of an mmdet checkpoint; `precision` as the service's flag, fp32 or bf16.
absl::StatusOr<DetectorScore> ScoreDetector(const std::string& checkpoint,
                                            const std::vector<Scene>& scenes,
                                            const std::string& precision = "fp32");

// Mean mask IoU over all objects.
struct SegmenterScore {
  // Prompted by the true box, single mask.
  double box = 0;
  // One click at the innermost pixel, the best of three masks by the model's own estimate.
  double click = 0;
  // And a second one in the middle of what was wrong, with the first answer as mask prompt.
  double second_click = 0;
  int objects = 0;
};

// Of a Segment Anything checkpoint.
absl::StatusOr<SegmenterScore> ScoreSegmenter(const std::string& checkpoint,
                                              const std::vector<Scene>& scenes);

}  // namespace trainer

#endif  // DUET_TRAINER_EVALUATE_HELD_OUT_SCORES_H_
