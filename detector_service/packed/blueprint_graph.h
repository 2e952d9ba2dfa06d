// A Blueprint as it runs on a CPU: batch norms, parallel branches and implicit parameters folded
// into the convolutions, the whole network one Graph, to be compiled for one input size
// (nn/onednn/graph.h).
#ifndef DUET_DETECTOR_SERVICE_PACKED_BLUEPRINT_GRAPH_H_
#define DUET_DETECTOR_SERVICE_PACKED_BLUEPRINT_GRAPH_H_

#include "detector_service/blueprint/blueprint_module.h"
#include "nn/onednn/graph.h"
#include "vision/geometry.h"

namespace detector {

// `input_size`: multiples of 32. The outputs are the blueprint's.
void BuildGraph(const BlueprintModuleImpl& module, vision::Size input_size,
                nn::onednn::Graph& graph);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_PACKED_BLUEPRINT_GRAPH_H_
