// The beginning of an encoder as it runs on a CPU: a convolution of the image with a kernel as wide
// as its stride or wider, as a product, and the positions.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_PACKED_PATCHES_H_
#define DUET_SEGMENTER_SERVICE_PACKED_PACKED_PATCHES_H_

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <memory>

#include "nn/layers.h"
#include "nn/onednn/aligned.h"
#include "nn/onednn/matmul.h"
#include "segmenter_service/packed/packed_layers.h"

namespace segmenter {

// A few rows of patches at a time. T: float or BFloat16Bits, of the factors. One Run at a time.
template <typename T>
class PackedPatches {
 public:
  // `positions` [1, grid, grid, C], which are added, are copied. `image_size`: grid times the
  // stride of `proj`.
  PackedPatches(const nn::Conv2d& proj, const at::Tensor& positions, std::int64_t image_size,
                int threads)
      : size_(image_size),
        kernel_(proj->weight.size(2)),
        stride_(proj->options.stride),
        padding_(proj->options.padding),
        grid_(size_ / stride_),
        inner_(3 * kernel_ * kernel_),
        rows_(DivisorUpTo(grid_, std::max<std::int64_t>(1, kTokens / grid_))),
        positions_(positions.detach().clone(at::MemoryFormat::Contiguous)),
        gathered_(rows_ * grid_ * inner_),
        proj_(MakeLinear<T>(proj->weight.flatten(1), proj->bias,
                            {.rows = rows_ * grid_,
                             .epilogue = nn::onednn::Epilogue::kAddToOutput,
                             .threads = threads})) {}

  // [1, 3, S, S] to [1, grid, grid, C].
  at::Tensor Run(const at::Tensor& image) {
    at::Tensor tokens = positions_.clone();
    const float* pixels = image.data_ptr<float>();
    const std::int64_t row_floats = grid_ * tokens.size(3);
    for (std::int64_t top = 0; top < grid_; top += rows_) {
      Gather(pixels, top);
      proj_->Run(gathered_.data(), tokens.data_ptr<float>() + top * row_floats);
    }
    return tokens;
  }

 private:
  static constexpr std::int64_t kTokens = 512;

  void Gather(const float* pixels, std::int64_t top) {
#pragma omp parallel for schedule(static)
    for (std::int64_t token = 0; token < rows_ * grid_; ++token) {
      const std::int64_t y = (top + token / grid_) * stride_ - padding_;
      const std::int64_t x = token % grid_ * stride_ - padding_;
      // Columns of the patch that are within the image.
      const std::int64_t first = std::max<std::int64_t>(0, -x);
      const std::int64_t last = std::min(kernel_, size_ - x);
      T* out = gathered_.data() + token * inner_;
      for (std::int64_t line = 0; line < 3 * kernel_; ++line, out += kernel_) {
        const std::int64_t row = y + line % kernel_;
        const bool inside = row >= 0 && row < size_;
        if (!inside || last - first < kernel_) std::fill_n(out, kernel_, T{});
        if (!inside) continue;
        const float* in = pixels + (line / kernel_ * size_ + row) * size_ + x;
        for (std::int64_t i = first; i < last; ++i) nn::onednn::Store(in[i], out + i);
      }
    }
  }

  const std::int64_t size_, kernel_, stride_, padding_, grid_, inner_;
  const std::int64_t rows_;  // of patches at a time
  const at::Tensor positions_;
  nn::onednn::AlignedVector<T> gathered_;
  const std::unique_ptr<nn::onednn::PackedLinear> proj_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_PACKED_PATCHES_H_
