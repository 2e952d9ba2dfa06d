// RTMDet as it runs on a CPU: batch norms folded into the convolutions, the whole network one
// Graph, to be compiled for one input size (nn/onednn/graph.h). The plain modules (model/) are the
// source of truth, train and run on CUDA; once packed they may go.
#ifndef DUET_DETECTOR_SERVICE_PACKED_RTMDET_GRAPH_H_
#define DUET_DETECTOR_SERVICE_PACKED_RTMDET_GRAPH_H_

#include "detector_service/model/detector.h"
#include "nn/onednn/graph.h"
#include "vision/geometry.h"

namespace detector {

// `input_size`: multiples of 32. Outputs per level, in turn: class logits; what rtm_reg gives
// (before what the head does to it, and stride); what rtm_ang and rtm_kernel give, where they are.
// Last, in RTMDet-Ins, the mask features.
void BuildGraph(const RtmdetImpl& model, vision::Size input_size, nn::onednn::Graph& graph);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_PACKED_RTMDET_GRAPH_H_
