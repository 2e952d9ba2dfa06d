// The networks of MMYOLO's families: which blocks, in which order, under which names.
//
// Sources: mmyolo 0.6.0, mmyolo/models/{backbones,necks,dense_heads}/.
#ifndef DUET_DETECTOR_SERVICE_FAMILIES_NETWORKS_H_
#define DUET_DETECTOR_SERVICE_FAMILIES_NETWORKS_H_

#include "detector_service/blueprint/blueprint_builder.h"
#include "detector_service/config/python_config.h"

namespace detector {

// Each adds a whole network to `builder`, with its outputs and their meaning. `config` is the
// training's, for what no tensor shows; it may be empty.
void BuildYolov5(BlueprintBuilder& builder, const PythonConfig& config);
void BuildYolov6(BlueprintBuilder& builder, const PythonConfig& config);
void BuildYolov7(BlueprintBuilder& builder, const PythonConfig& config);
void BuildYolov8(BlueprintBuilder& builder,
                 const PythonConfig& config);  // and YOLOv5u: v5's body, v8's head
void BuildYolox(BlueprintBuilder& builder, const PythonConfig& config);
void BuildPpyoloe(BlueprintBuilder& builder, const PythonConfig& config);  // and PPYOLOE+

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_FAMILIES_NETWORKS_H_
