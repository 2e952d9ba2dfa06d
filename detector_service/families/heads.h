// The heads: from a neck's maps to the network's outputs, and what these mean.
//
// All of them sit at bbox_head.head_module. Sources: mmyolo/models/dense_heads/*_head.py.
#ifndef DUET_DETECTOR_SERVICE_FAMILIES_HEADS_H_
#define DUET_DETECTOR_SERVICE_FAMILIES_HEADS_H_

#include <array>
#include <vector>

#include "detector_service/config/python_config.h"
#include "detector_service/families/blocks.h"

namespace detector {

using Anchors = std::array<std::vector<Anchor>, kLevels>;

// YOLOv5, YOLOv7: one 1×1 (in v7 between implicit parameters) for x, y, w, h, objectness and
// classes of each anchor. `standard` are the anchors if the config names none; they are in no
// tensor.
void AnchorHead(BlueprintBuilder& builder, const FeatureMaps& maps, const PythonConfig& config,
                const Anchors& standard);

// Two branches, `cls` for the classes and `reg` for the four sides: distances from the centre of
// the cell, plain or as distributions, as the width of the prediction tells.
struct Branches {
  FeatureMap cls;
  FeatureMap reg;
};
void DistanceHead(BlueprintBuilder& builder, const std::array<Branches, kLevels>& levels);

// YOLOX: towers, then class, box and objectness; the latter two from the box's tower.
void YoloxHead(BlueprintBuilder& builder, const FeatureMaps& maps);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_FAMILIES_HEADS_H_
