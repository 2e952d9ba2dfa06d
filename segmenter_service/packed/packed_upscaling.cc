#include "segmenter_service/packed/packed_upscaling.h"

#include <ATen/Functions.h>
#include <omp.h>

#include <algorithm>

#include "nn/onednn/rowwise.h"
#include "nn/onednn/small_product.h"

namespace segmenter {
namespace {

// Cells that are scaled up together: each becomes 4, then 16 pixels. With 32 channels at the end
// these take 64 KiB, so all of the block stays in the L2 cache.
constexpr std::int64_t kBlock = 32;

// A transposed convolution, kernel 2x2, stride 2: columns [2 x 2, out] of a pixel are its four.
SmallLinear UpConv(const nn::ConvTranspose2d& conv) {
  const at::Tensor& weight = conv->weight;  // [in, out, 2, 2]
  return {weight.permute({2, 3, 1, 0}).reshape({4 * weight.size(1), weight.size(0)}),
          conv->bias.repeat({4})};
}

}  // namespace

PackedUpscaling::PackedUpscaling(const OutputUpscaling& module, std::int64_t dim, std::int64_t grid)
    : dim_(dim),
      grid_(grid),
      up1_(UpConv(module->conv1)),
      up2_(UpConv(module->conv2)),
      norm_(NormOf(module->norm)) {}

void PackedUpscaling::Run(const Task& task, std::vector<Scratch>* scratch) const {
  const std::int64_t cells = grid_ * grid_;
  scratch->resize(omp_get_max_threads());
#pragma omp parallel for schedule(static)
  for (std::int64_t first = 0; first < cells; first += kBlock) {
    RunBlock(task, first, std::min(kBlock, cells - first), &(*scratch)[omp_get_thread_num()]);
  }
}

void PackedUpscaling::RunBlock(const Task& task, std::int64_t first, std::int64_t count,
                               Scratch* scratch) const {
  const std::int64_t half_dim = dim_ / 4, full_dim = dim_ / 8, low = 4 * grid_;
  const std::int64_t width = nn::onednn::RoundUpColumns(task.masks);
  scratch->half.resize(kBlock * 4 * half_dim);
  scratch->full.resize(kBlock * 16 * full_dim);
  scratch->pixels.resize(kBlock * 16 * width);
  float *half = scratch->half.data(), *full = scratch->full.data();
  float* pixels = scratch->pixels.data();
  const auto add_map = [&](const float* map, int doublings, std::int64_t channels, float* to) {
    const std::int64_t side = grid_ << doublings;
    ForEachPixel(first, count, doublings, [&](std::int64_t i, std::int64_t y, std::int64_t x) {
      for (std::int64_t c = 0; c < channels; ++c) {
        to[i * channels + c] += map[(c * side + y) * side + x];
      }
    });
  };
  up1_.Run(task.cells + first * dim_, dim_, count, half);
  if (task.half_map != nullptr) add_map(task.half_map, 1, half_dim, half);
  norm_.RunOnThisThread(half, count * 4, half);
  nn::onednn::GeluRow(count * 4 * half_dim, half);
  up2_.Run(half, half_dim, count * 4, full);
  if (task.full_map != nullptr) add_map(task.full_map, 2, full_dim, full);
  nn::onednn::GeluRow(count * 16 * full_dim, full);
  nn::onednn::SmallProduct({full, count * 16, full_dim, full_dim},
                           {task.weights, full_dim, width, width}, pixels, width);
  ForEachPixel(first, count, 2, [&](std::int64_t i, std::int64_t y, std::int64_t x) {
    for (std::int64_t m = 0; m < task.masks; ++m) {
      task.logits[(m * low + y) * low + x] = pixels[i * width + m];
    }
    for (std::int64_t c = 0; task.upscaled != nullptr && c < full_dim; ++c) {
      task.upscaled[(c * low + y) * low + x] = full[i * full_dim + c];
    }
  });
}

template <typename Visit>
void PackedUpscaling::ForEachPixel(std::int64_t first, std::int64_t count, int doublings,
                                   const Visit& visit) const {
  for (std::int64_t i = 0; i < count << (2 * doublings); ++i) {
    const std::int64_t cell = first + (i >> (2 * doublings));
    std::int64_t y = cell / grid_, x = cell % grid_;
    for (int step = doublings - 1; step >= 0; --step) {
      y = 2 * y + (i >> (2 * step + 1) & 1);
      x = 2 * x + (i >> (2 * step) & 1);
    }
    visit(i, y, x);
  }
}

}  // namespace segmenter
