// RTMDet as it runs on a CPU: batch norms folded into the convolutions, the whole network one
// Graph, to be compiled for one input size (nn/onednn/graph.h). The weights are copied: the plain
// modules (rtmdet/) are not needed afterwards.
#ifndef DUET_DETECTOR_SERVICE_PACKED_RTMDET_GRAPH_H_
#define DUET_DETECTOR_SERVICE_PACKED_RTMDET_GRAPH_H_

#include "detector_service/rtmdet/rtmdet.h"
#include "nn/onednn/graph.h"
#include "vision/geometry.h"

namespace detector {

// `input_size`: multiples of 32. The outputs are those of ListOutputs, but boxes are left as
// rtm_reg gives them, before the head's own arithmetic: see GraphLayoutOf.
void BuildGraph(const RtmdetImpl& model, vision::Size input_size, nn::onednn::Graph& graph);

// The backbone's stem and its first `stages` stages alone, for a training that does not change
// them. Outputs: those of the last of these, and of every one before it that the neck reads, from
// the first on.
void BuildStemGraph(const CSPNeXtImpl& backbone, int stages, vision::Size input_size,
                    nn::onednn::Graph& graph);

// What the outputs of BuildGraph mean.
HeadLayout GraphLayoutOf(const RtmdetConfig& config);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_PACKED_RTMDET_GRAPH_H_
