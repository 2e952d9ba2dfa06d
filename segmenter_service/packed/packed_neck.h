// The end of SAM's and MobileSAM's encoders as it runs on a CPU: tokens to the embedding.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_NECK_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_NECK_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "nn/onednn/precision.h"
#include "segmenter_service/modeling/image_encoder.h"

namespace segmenter {

// Neck (modeling/image_encoder.h) with packed weights: a product, a norm, a 3x3 convolution by
// Winograd (always in float32), a norm. One Run at a time.
class PackedNeck {
 public:
  // Copies what it needs from `neck`, but on CPUs without fast convolutions, where it runs `neck`
  // itself. `grid`: side of the map.
  PackedNeck(const Neck& neck, std::int64_t grid, nn::onednn::Precision precision, int threads);
  ~PackedNeck();

  // [1, grid or more, grid, C] float32, dense, to [1, out, grid, grid]; rows after the first `grid`
  // are not read.
  at::Tensor Run(const at::Tensor& tokens);

 private:
  class Impl;

  const Neck plain_;
  const std::int64_t grid_;
  const std::unique_ptr<Impl> impl_;  // null if the CPU has no fast convolutions
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_NECK_H_
