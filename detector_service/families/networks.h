// The networks of MMYOLO's families: which blocks, in which order, under which names.
//
// Sources: mmyolo 0.6.0, mmyolo/models/{backbones,necks,dense_heads}/.
#ifndef DUET_DETECTOR_SERVICE_FAMILIES_NETWORKS_H_
#define DUET_DETECTOR_SERVICE_FAMILIES_NETWORKS_H_

#include "detector_service/config/python_literal.h"
#include "detector_service/model/draft.h"

namespace detector {

// Each drafts a whole network into `draft`, outputs and their meaning included. `config` is the
// training's, for what no tensor shows; it may be empty.
void DraftYolov5(Draft& draft, const PythonConfig& config);
void DraftYolov6(Draft& draft, const PythonConfig& config);
void DraftYolov7(Draft& draft, const PythonConfig& config);
void DraftYolov8(Draft& draft, const PythonConfig& config);  // and YOLOv5u: v5's body, v8's head
void DraftYolox(Draft& draft, const PythonConfig& config);
void DraftPpyoloe(Draft& draft, const PythonConfig& config);  // and PPYOLOE+

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_FAMILIES_NETWORKS_H_
