// The shape of an RTMDet: numbers that can be read from the checkpoint's tensors, so that no config
// file is needed.
//
// The family is a backbone (CSPNeXt: stem and four stages, strides 2 to 32), a neck (PAFPN over
// strides 8, 16 and 32) and a head that is repeated per stride. tiny, s, m, l and x differ in two
// factors only, width and depth; RTMDet-Ins and RTMDet-R in the head alone. Source: mmdet 3.3.0,
// mmdet/models/{backbones/cspnext,necks/cspnext_pafpn,dense_heads/rtmdet_{,ins_}head}.py; mmrotate
// 1.x, mmrotate/models/dense_heads/rotated_rtmdet_head.py; mmyolo 0.6.0,
// mmyolo/models/{necks/cspnext_pafpn,dense_heads/rtmdet_{,rotated_}head}.py.
#ifndef DUET_DETECTOR_SERVICE_RTMDET_RTMDET_CONFIG_H_
#define DUET_DETECTOR_SERVICE_RTMDET_RTMDET_CONFIG_H_

#include <absl/status/statusor.h>

#include <array>
#include <string>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tensor_index.h"
#include "detector_service/blueprint/box_coding.h"
#include "detector_service/config/detector_settings.h"
#include "detector_service/config/python_config.h"

namespace detector {

// mmdet's and mmyolo's RTMDet are one network under two sets of names (and two ways to make inputs
// and read outputs, see DefaultSettings).
enum class Naming { kMmdet, kMmyolo };

// RTMDet-Ins predicts mask features for the image and, at every cell, the weights ("kernel") of a
// small network over them that draws the mask of the cell's object: three 1×1 convolutions, from
// the features and the position relative to the cell (x, y) to one logit.
inline constexpr int kMaskFeatures = 8;
inline constexpr int kMaskHidden = 8;  // channels of the first two convolutions
inline constexpr int kMaskKernelSize = (kMaskFeatures + 2) * kMaskHidden +
                                       kMaskHidden * kMaskHidden + kMaskHidden +  // weights
                                       2 * kMaskHidden + 1;                       // biases
static_assert(kMaskKernelSize == 169);

// What the head predicts besides a class.
enum class HeadKind {
  kBoxes,      // RTMDet
  kInstances,  // RTMDet-Ins: boxes and masks
  kRotated,    // RTMDet-R: boxes that are turned
};

// Which parts of a model were built with use_depthwise: their 3×3 convolutions, except the stem's,
// are depthwise separable.
struct Depthwise {
  bool backbone = false;
  bool neck = false;
  bool head = false;

  friend bool operator==(const Depthwise&, const Depthwise&) = default;
};

struct RtmdetConfig {
  Naming naming = Naming::kMmdet;
  // Backbone. The stem's first two convolutions have stem_channels, its third stem_out_channels.
  int stem_channels = 0;
  int stem_out_channels = 0;
  std::array<int, 4> stage_channels{};
  std::array<int, 4> stage_blocks{};
  // Neck: CSPNeXt blocks in each of its four CSP layers, and channels of each of its three outputs.
  int neck_blocks = 0;
  int neck_channels = 0;
  HeadKind head = HeadKind::kBoxes;
  // Head: 3×3 convolutions before the prediction, and their channels.
  int stacked_convs = 2;
  int head_channels = 0;
  int num_classes = 0;
  // The head's convolutions are one set for all levels (batch norms are not). Never if they are
  // depthwise separable.
  bool share_conv = true;
  // Distances are exp(x) * stride, else x * stride (and may be negative; kInstances: max(x, 0)).
  // Never in mmyolo.
  bool exp_on_reg = false;
  // kInstances: 3×3 convolutions before the mask features.
  int mask_convs = 0;
  Depthwise depthwise;  // kInstances: the head never is
  // Where in its cell a cell's point is, in strides.
  float point = 0;
  // What batch norms add to the variance: in the backbone, the neck, the head.
  std::array<double, 3> bn_eps = {1e-5, 1e-5, 1e-5};
  // How far a batch of a training moves their running statistics.
  std::array<double, 3> bn_momentum = {0.1, 0.1, 0.1};

  friend bool operator==(const RtmdetConfig&, const RtmdetConfig&) = default;
};

// As mmdet's configs derive it: official are (widen, deepen) = tiny (0.375, 0.167), s (0.5, 0.33),
// m (0.75, 0.67), l (1, 1), x (1.25, 1.33). Widths are multiples of nothing: any factor works as
// long as no width falls to 0.
RtmdetConfig ScaledRtmdet(double widen, double deepen, int num_classes,
                          HeadKind head = HeadKind::kBoxes);

// Whether the tensors are of an RTMDet, in either naming; InferConfig may still refuse it.
bool IsRtmdet(const checkpoint::TensorIndex& tensors);

// Reads the shape from tensor names and sizes. exp_on_reg, which no tensor shows, comes from the
// config of the `training` (may be empty), else from the width, as in the official files (m, l and
// x have it); so do eps and points. FailedPrecondition, saying what the file holds instead, if
// these are not the tensors of an RTMDet that is supported.
absl::StatusOr<RtmdetConfig> InferConfig(const checkpoint::StateDict& state_dict,
                                         const PythonConfig& training);

// Where the modules are in the state's names.
struct RtmdetNames {
  std::array<const char*, 2> reduce;    // C5, the joined P4
  std::array<const char*, 2> top_down;  // P4, P3
  const char* downsample;               // .0: P3, .1: P4
  const char* bottom_up;                // .0: P4, .1: P5
  const char* out;                      // .0 to .2
  const char* head;
};
const RtmdetNames& NamesOf(Naming naming);

// The settings where the config of the training says nothing: those of the official configs, COCO's
// for boxes and instances, DOTA's for rotated boxes.
DetectorSettings DefaultSettings(const RtmdetConfig& config);

// "rtmdet-m", "rtmdet-ins-m" or "rtmdet-r-m" if the widths and depths are an official size's, else
// without the size.
std::string ModelName(const RtmdetConfig& config);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RTMDET_RTMDET_CONFIG_H_
