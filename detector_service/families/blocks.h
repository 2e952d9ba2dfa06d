// The blocks that the families' networks consist of. Each reads its variant from the tensors: how
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

#include "detector_service/blueprint/blueprint_builder.h"

namespace detector {

// Feature maps at kStrides, finest first.
using FeatureMaps = std::array<FeatureMap, kLevels>;

// ConvModules at name.0, name.1, …, or one at `name` itself.
FeatureMap ConvChain(BlueprintBuilder& builder, const std::string& name, FeatureMap x);

// CSPLayer (main and short path, blocks of 1×1 and 3×3) or, without short_conv,
// CSPLayerWithTwoConv (half of the channels go through the blocks, all results are joined).
FeatureMap Csp(BlueprintBuilder& builder, const std::string& name, FeatureMap x, bool identity);

// x and x max-pooled with windows of 5, 9 and 13 pixels. Larger windows are chains of 5×5, which
// is exact.
std::vector<FeatureMap> Pyramid(BlueprintBuilder& builder, FeatureMap x);

// SPPFBottleneck or SPPBottleneck: conv1 (if there is one), the pyramid, conv2.
FeatureMap Spp(BlueprintBuilder& builder, const std::string& name, FeatureMap x, Activation act);

// A path aggregation neck: coarse maps are joined into the finer ones on the way down, the results
// into the coarser ones on the way up. Step 0 is the first of each way.
struct PathAggregation {
  // The coarse map, scaled up, and the finer one of the backbone.
  std::function<FeatureMap(FeatureMap coarse, int step)> join;
  std::function<FeatureMap(FeatureMap joined, int step)> top_down;
  std::function<FeatureMap(FeatureMap fine, int step)> downsample;
  std::function<FeatureMap(FeatureMap joined, int step)> bottom_up;
};
// `coarsest`: the backbone's last map.
FeatureMaps Aggregate(BlueprintBuilder& builder, FeatureMap coarsest, const PathAggregation& neck);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_FAMILIES_BLOCKS_H_
