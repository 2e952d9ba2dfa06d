// The blocks that the families are put together from. Each reads its variant off the tensors: how
// many inner blocks there are, which convolutions exist.
//
// Sources: mmyolo/models/{layers/yolo_bricks,necks/base_yolo_neck}.py,
// mmdet/models/layers/csp_layer.py.
#ifndef DUET_DETECTOR_SERVICE_FAMILIES_BLOCKS_H_
#define DUET_DETECTOR_SERVICE_FAMILIES_BLOCKS_H_

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "detector_service/model/draft.h"

namespace detector {

// Feature maps at kStrides, finest first.
using Maps = std::array<Value, kLevels>;

// ConvModules at name.0, name.1, …, or one at `name` itself.
Value ConvChain(Draft& draft, const std::string& name, Value x);

// CSPLayer (main and short path, blocks of 1×1 and 3×3) or, without short_conv,
// CSPLayerWithTwoConv (half of the channels go through the blocks, all results are joined).
Value Csp(Draft& draft, const std::string& name, Value x, bool identity);

// x and what max-pooling with 5, 9 and 13 pixels makes of it. The larger windows are chains of 5×5,
// which is exact.
std::vector<Value> Pyramid(Draft& draft, Value x);

// SPPFBottleneck or SPPBottleneck: conv1 (if there is one), the pyramid, conv2.
Value Spp(Draft& draft, const std::string& name, Value x, Activation act);

// A path aggregation neck: coarse maps are joined into the finer ones on the way down, the results
// into the coarser ones on the way up. Step 0 is the first of each way.
struct PathAggregation {
  // The coarse map, scaled up, and the finer one of the backbone.
  std::function<Value(Value coarse, int step)> join;
  std::function<Value(Value joined, int step)> top_down;
  std::function<Value(Value fine, int step)> downsample;
  std::function<Value(Value joined, int step)> bottom_up;
};
// `coarsest`: the backbone's last map.
Maps Aggregate(Draft& draft, Value coarsest, const PathAggregation& neck);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_FAMILIES_BLOCKS_H_
