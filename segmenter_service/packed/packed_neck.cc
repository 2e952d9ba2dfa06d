#include "segmenter_service/packed/packed_neck.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <memory>

#include "nn/onednn/aligned.h"
#include "segmenter_service/packed/packed_conv.h"
#include "segmenter_service/packed/packed_layers.h"

namespace segmenter {

using nn::onednn::AlignedVector;
using nn::onednn::BFloat16Bits;
using nn::onednn::PackedLinear;
using nn::onednn::Precision;

class PackedNeck::Impl {
 public:
  Impl(const Neck& neck, std::int64_t grid, Precision precision, int threads)
      : tokens_(grid * grid),
        channels_(neck->conv1->options.out_channels),
        precision_(precision),
        conv1_(neck->conv1->weight.flatten(1), {},
               {.rows = tokens_, .type = precision, .threads = threads}),
        norm1_(NormOf(neck->norm1)),
        norm2_(NormOf(neck->norm2)),
        conv2_(neck->conv2->weight, {}, grid, threads),
        narrow_(tokens_ * channels_) {}

  at::Tensor Run(const float* tokens, std::int64_t width) {
    if (precision_ == Precision::kFloat32) {
      conv1_.Run(tokens, narrow_.data());
    } else {
      conv1_.Run(Converted(tokens, tokens_ * width, &converted_), narrow_.data());
    }
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < tokens_; ++i) {
      float* row = narrow_.data() + i * channels_;
      norm1_.RunOnThisThread(row, 1, row);
      conv2_.SetPixel(i, row);
    }
    conv2_.Run();
    const at::Tensor embedding = at::empty({1, channels_, tokens_});
    float* out = embedding.data_ptr<float>();
#pragma omp parallel
    {
      AlignedVector<float> rows(static_cast<std::size_t>(kPixelsTogether * channels_));
#pragma omp for schedule(static)
      for (std::int64_t first = 0; first < tokens_; first += kPixelsTogether) {
        const std::int64_t count = std::min(kPixelsTogether, tokens_ - first);
        for (std::int64_t i = 0; i < count; ++i) {
          conv2_.GetPixel(first + i, rows.data() + i * channels_);
        }
        norm2_.RunOnThisThread(rows.data(), count, rows.data());
        RowsToPlanes(rows.data(), tokens_, channels_, first, count, out);
      }
    }
    return embedding;
  }

 private:
  const std::int64_t tokens_, channels_;
  const Precision precision_;
  PackedLinear conv1_;
  const RowNorm norm1_, norm2_;
  PackedConv3x3 conv2_;
  AlignedVector<float> narrow_;  // [tokens, channels]
  AlignedVector<BFloat16Bits> converted_;
};

PackedNeck::PackedNeck(const Neck& neck, std::int64_t grid, Precision precision, int threads)
    : plain_(neck),
      grid_(grid),
      impl_(PackedConv3x3::Supported() ? std::make_unique<Impl>(neck, grid, precision, threads)
                                       : nullptr) {}

PackedNeck::~PackedNeck() = default;

at::Tensor PackedNeck::Run(const at::Tensor& tokens) {
  if (impl_ == nullptr) {
    return Neck(plain_)(tokens.slice(1, 0, grid_).permute({0, 3, 1, 2})).contiguous();
  }
  const at::Tensor embedding = impl_->Run(tokens.data_ptr<float>(), tokens.size(3));
  return embedding.view({1, embedding.size(1), grid_, grid_});
}

}  // namespace segmenter
