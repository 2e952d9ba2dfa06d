// How the numbers that a head predicts at a cell are decoded into a box.
//
// Sources: mmdet/models/task_modules/coders/distance_point_bbox_coder.py,
// mmyolo/models/task_modules/coders/{distance_point,yolov5,yolox}_bbox_coder.py.
#ifndef DUET_DETECTOR_SERVICE_BLUEPRINT_BOX_CODING_H_
#define DUET_DETECTOR_SERVICE_BLUEPRINT_BOX_CODING_H_

#include <array>
#include <vector>

#include "vision/geometry.h"

namespace detector {

inline constexpr int kLevels = 3;
// Input pixels per cell of the three outputs.
inline constexpr std::array<int, kLevels> kStrides = {8, 16, 32};

enum class BoxCode {
  kDistances,                // left, top, right, bottom from the cell's point, input pixels
  kStrideDistances,          // the same in strides
  kPositiveStrideDistances,  // the same, negative ones taken for 0
  kLogStrideDistances,       // the same, as their logarithms
  // kStrideDistances, each as logits of `bins` distances 0, 1, 2 …, whose mean is taken.
  kDistributions,
  kAnchors,     // YOLOv5: sigmoids of offset and of half the root of the size over the anchor's
  kCentreSize,  // YOLOX: offset of the centre, logarithm of the size, in strides
};

// Width and height of a box that a cell's prediction is relative to, input pixels.
struct Anchor {
  float width = 0;
  float height = 0;
};

struct BoxCoding {
  BoxCode code = BoxCode::kDistances;
  // Where in its cell a cell's point is, in strides: 0 its top-left corner, 0.5 its centre.
  float point = 0;
  int bins = 0;                                        // kDistributions
  std::array<std::vector<Anchor>, kLevels> anchors{};  // kAnchors: as many on each level

  // Boxes per cell.
  int per_cell() const;
  // Numbers per box.
  int numbers() const;
};

// The box, in input pixels, that `raw` (numbers() floats) means at cell (x, y) of `level`.
vision::Box DecodeBox(const BoxCoding& coding, const float* raw, int level, int x, int y,
                      int anchor = 0);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_BLUEPRINT_BOX_CODING_H_
