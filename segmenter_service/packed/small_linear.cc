#include "segmenter_service/packed/small_linear.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "nn/onednn/aligned.h"
#include "nn/onednn/small_product.h"
#include "segmenter_service/packed/packed_layers.h"

namespace segmenter {
namespace {

using nn::onednn::AlignedVector;

constexpr std::int64_t kPanel = 64;  // columns that lie together: SmallProduct's widest tile
// Multiply-adds that are worth waking another thread for.
constexpr std::int64_t kParallelWork = std::int64_t{1} << 21;

}  // namespace

void FillRows(const float* row, std::int64_t width, std::int64_t rows, float* out) {
  for (std::int64_t r = 0; r < rows; ++r) std::memcpy(out + r * width, row, sizeof(float) * width);
}

SmallLinear::SmallLinear(const at::Tensor& weight, const at::Tensor& bias)
    : in_(weight.size(1)), width_(nn::onednn::RoundUpColumns(weight.size(0))) {
  const at::Tensor padded = at::constant_pad_nd(weight, {0, 0, 0, width_ - weight.size(0)});
  for (std::int64_t first = 0; first < width_; first += kPanel) {
    const AlignedVector<float> panel = ToVector(padded.slice(0, first, first + kPanel).t());
    panels_.insert(panels_.end(), panel.begin(), panel.end());
  }
  bias_ = ToVector(at::constant_pad_nd(bias, {0, width_ - bias.size(0)}));
}

void SmallLinear::Run(const float* x, std::int64_t stride, std::int64_t rows, float* out) const {
  FillRows(bias_.data(), width_, rows, out);
  const bool large = rows * in_ * width_ > kParallelWork;
#pragma omp parallel for schedule(static) if (large)
  for (std::int64_t first = 0; first < width_; first += kPanel) {
    const std::int64_t columns = std::min(kPanel, width_ - first);
    nn::onednn::AddSmallProduct({x, rows, in_, stride},
                                {panels_.data() + first * in_, in_, columns, columns}, out + first,
                                width_);
  }
}

SmallMlp::SmallMlp(const nn::Linear& first, const nn::Linear& second)
    : layers_{SmallLinear(first), SmallLinear(second)} {}

SmallMlp::SmallMlp(MlpImpl& mlp) {
  for (std::size_t i = 0; i < mlp.layers->size(); ++i) {
    layers_.emplace_back(mlp.layers->at<nn::LinearImpl>(i).weight,
                         mlp.layers->at<nn::LinearImpl>(i).bias);
  }
}

const float* SmallMlp::Run(const float* x, std::int64_t stride, std::int64_t rows,
                           AlignedVector<float>* scratch) const {
  std::int64_t widest = 0;
  for (const SmallLinear& layer : layers_) widest = std::max(widest, layer.width());
  scratch->resize(2 * rows * widest);
  float *out = scratch->data(), *other = out + rows * widest;
  for (const SmallLinear& layer : layers_) {
    layer.Run(x, stride, rows, out);
    if (&layer != &layers_.back()) {
      for (std::int64_t i = 0; i < rows * layer.width(); ++i) out[i] = std::max(out[i], 0.0F);
    }
    x = out;
    stride = layer.width();
    std::swap(out, other);
  }
  return x;
}

}  // namespace segmenter
