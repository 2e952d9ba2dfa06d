// What the output maps of a detector's head mean: which of them holds what, and how a box is coded.
// Every network has one, whether it is built from a Blueprint or written by hand (rtmdet/).
#ifndef DUET_DETECTOR_SERVICE_BLUEPRINT_HEAD_LAYOUT_H_
#define DUET_DETECTOR_SERVICE_BLUEPRINT_HEAD_LAYOUT_H_

#include <array>

#include "detector_service/blueprint/box_coding.h"

namespace detector {

// Where numbers of a cell are: in which output, and from which channel of a row on.
struct HeadSlot {
  int output = -1;  // -1: the head does not predict this
  int channel = 0;
};

// A cell has coding.per_cell() rows, which share its channels evenly.
struct HeadLayout {
  struct Level {
    HeadSlot logits;      // num_classes each
    HeadSlot boxes;       // coding.numbers() each
    HeadSlot objectness;  // a logit
    HeadSlot angles;      // of rotated boxes
    HeadSlot kernels;     // of instance masks
  };
  int num_classes = 0;
  BoxCoding coding;
  std::array<Level, kLevels> levels;
  HeadSlot mask_features;  // of instance masks, at the cells of levels[0]

  bool has_rotated_boxes() const { return levels[0].angles.output >= 0; }
  bool has_masks() const { return mask_features.output >= 0; }
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_BLUEPRINT_HEAD_LAYOUT_H_
