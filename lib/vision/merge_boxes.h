// One list of detections from those of overlapping tiles of an image.
//
// An object on the border of two tiles is found twice, or as two pieces. Both are mended by what
// SAHI (0.12, sahi/postprocess/combine.py) calls NMS, NMM and GREEDYNMM, and to the same boxes: in
// the order of falling scores (of equal ones by x_min, y_min, x_max, y_max) a box takes the weaker
// ones that match it. Two boxes match if their overlap is at least a threshold.
#ifndef DUET_VISION_MERGE_BOXES_H_
#define DUET_VISION_MERGE_BOXES_H_

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "vision/geometry.h"

namespace vision {

enum class MergeMethod {
  // Non-maximum suppression: what is taken is dropped.
  kNms,
  // Non-maximum merging: what is taken also takes what it matches, and all become one box.
  kNmm,
  // The same, but only what matches the strongest box itself is taken.
  kGreedyNmm,
};

enum class OverlapMetric {
  kIou,  // intersection over union
  kIos,  // intersection over the smaller one's area: 1 for a piece of an object beside the whole
};

// Whether the boxes with these indices match, which touch. The first one takes.
using Matches = std::function<bool(std::size_t, std::size_t)>;

struct MergeOptions {
  MergeMethod method = MergeMethod::kGreedyNmm;
  OverlapMetric metric = OverlapMetric::kIos;
  float threshold = 0.5F;       // > 0: two boxes that don't touch never match
  bool class_agnostic = false;  // boxes of different classes match, too
  // If it isn't null, it decides instead of metric and threshold who matches: the boxes lie around
  // shapes of other kinds. For kNms only.
  Matches matches = nullptr;
};

struct ScoredBox {
  Box box;
  float score = 0;
  int class_id = 0;
};

struct MergedBox {
  // The box around all that became one, with the best score of them, and its class.
  ScoredBox whole;
  std::size_t strongest = 0;  // index of the box that took the others
  // Indices of what was joined to it, in the order of joining. What a box has taken is joined if it
  // still matches the box as that has grown, else it is dropped. Empty for kNms.
  std::vector<std::size_t> joined;
};

// Best first, in the order that boxes take others in. Boxes without an area, or with a coordinate
// that is no number, match nothing. Takes about n·log(n). REQUIRES: options.threshold > 0.
std::vector<MergedBox> MergeBoxes(std::span<const ScoredBox> boxes, const MergeOptions& options);

}  // namespace vision

#endif  // DUET_VISION_MERGE_BOXES_H_
