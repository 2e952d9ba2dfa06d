#include "segmenter_service/packed/packed_mask_feature.h"

#include <ATen/Functions.h>

#include <algorithm>

#include "nn/onednn/aligned.h"
#include "nn/onednn/rowwise.h"

namespace segmenter {

using nn::onednn::AlignedVector;

PackedMaskFeature::PackedMaskFeature(const MaskFeature& module, std::int64_t side, int threads)
    : conv1_(module->conv1->weight, module->conv1->bias, side, threads),
      conv2_(module->conv2->weight, module->conv2->bias, side, threads),
      norm_(NormOf(module->norm)) {}

at::Tensor PackedMaskFeature::Run(const at::Tensor& upscaled) {
  const at::Tensor result = at::empty_like(upscaled);
  const std::int64_t pixels = conv1_.pixels(), middle = conv1_.out();
  // work(first pixel, pixels, memory for as many rows of the widest map), on all threads.
  const auto for_each_part = [&](const auto& work) {
#pragma omp parallel
    {
      AlignedVector<float> rows(static_cast<std::size_t>(kPixelsTogether * middle));
#pragma omp for schedule(static)
      for (std::int64_t first = 0; first < pixels; first += kPixelsTogether) {
        work(first, std::min(kPixelsTogether, pixels - first), rows.data());
      }
    }
  };
  for (std::int64_t b = 0; b < upscaled.size(0); ++b) {
    const float* in = upscaled.data_ptr<float>() + b * upscaled.stride(0);
    float* out = result.data_ptr<float>() + b * result.stride(0);
    for_each_part([&](std::int64_t first, std::int64_t count, float* rows) {
      PlanesToRows(in, pixels, conv1_.in(), first, count, rows);
      for (std::int64_t i = 0; i < count; ++i) conv1_.SetPixel(first + i, rows + i * conv1_.in());
    });
    conv1_.Run();
    for_each_part([&](std::int64_t first, std::int64_t count, float* rows) {
      for (std::int64_t i = 0; i < count; ++i) conv1_.GetPixel(first + i, rows + i * middle);
      norm_.RunOnThisThread(rows, count, rows);
      nn::onednn::GeluRow(count * middle, rows);
      for (std::int64_t i = 0; i < count; ++i) conv2_.SetPixel(first + i, rows + i * middle);
    });
    conv2_.Run();
    for_each_part([&](std::int64_t first, std::int64_t count, float* rows) {
      for (std::int64_t i = 0; i < count; ++i) conv2_.GetPixel(first + i, rows + i * conv2_.out());
      RowsToPlanes(rows, pixels, conv2_.out(), first, count, out);
    });
  }
  return result;
}

}  // namespace segmenter
