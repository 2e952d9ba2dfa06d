// Linear layers of the mask decoder as they run on a CPU: for any number of rows, unlike
// nn::onednn::PackedLinear, since each prompt has its own number of tokens.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_SMALL_LINEAR_H_
#define DUET_SEGMENTER_SERVICE_PACKED_SMALL_LINEAR_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "nn/layers.h"
#include "nn/onednn/aligned.h"
#include "segmenter_service/modeling/mask_decoder.h"

namespace segmenter {

// Writes `rows` copies of `row` [width] to `out`, one after the other.
void FillRows(const float* row, std::int64_t width, std::int64_t rows, float* out);

// x · weightᵀ + bias. Immutable; thread-safe.
class SmallLinear {
 public:
  // `weight` [out, in], `bias` [out]; both are copied.
  SmallLinear(const at::Tensor& weight, const at::Tensor& bias);
  explicit SmallLinear(const nn::Linear& layer) : SmallLinear(layer->weight, layer->bias) {}

  // Columns of the result: `out`, rounded up (nn::onednn::RoundUpColumns).
  std::int64_t width() const { return width_; }

  // x [rows, in], rows `stride` floats apart, to out [rows, width()], dense. On one thread, or on
  // all of OpenMP's if there is enough to do.
  void Run(const float* x, std::int64_t stride, std::int64_t rows, float* out) const;

 private:
  const std::int64_t in_, width_;
  nn::onednn::AlignedVector<float> panels_;  // each [in, up to 64]
  nn::onednn::AlignedVector<float> bias_;    // [width]
};

// Linear layers with ReLU between them. Immutable; thread-safe.
class SmallMlp {
 public:
  SmallMlp(const nn::Linear& first, const nn::Linear& second);
  explicit SmallMlp(MlpImpl& mlp);

  // Rows of x are `stride` floats apart. Returns the result, [rows, width of the last layer], which
  // lies in `scratch`.
  const float* Run(const float* x, std::int64_t stride, std::int64_t rows,
                   nn::onednn::AlignedVector<float>* scratch) const;

 private:
  std::vector<SmallLinear> layers_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_SMALL_LINEAR_H_
