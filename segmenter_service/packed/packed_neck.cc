#include "segmenter_service/packed/packed_neck.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "nn/onednn/cpu.h"
#include "nn/onednn/winograd.h"
#include "segmenter_service/packed/packed_layers.h"

namespace segmenter {
namespace {

using nn::onednn::BFloat16Bits;
using nn::onednn::Epilogue;
using nn::onednn::PackedLinear;
using nn::onednn::Precision;
using nn::onednn::WinogradConv;

constexpr double kEps = 1e-6;  // LayerNorm2d's

RowNorm Norm(const LayerNorm2d& norm) { return RowNorm(norm->weight, norm->bias, kEps); }

std::int64_t RoundUp(std::int64_t count, std::int64_t step) {
  return (count + step - 1) / step * step;
}

// [out, in, 3, 3] with zeros for the channels that fill up the last blocks.
WinogradConv MakeConv(const at::Tensor& weight, std::int64_t grid, std::int64_t block,
                      int threads) {
  const std::int64_t channels = weight.size(0), stored = RoundUp(channels, block);
  const at::Tensor wide = at::zeros({stored, stored, 3, 3});
  wide.slice(0, 0, channels).slice(1, 0, channels).copy_(weight.detach());
  const std::vector<float> bias(static_cast<std::size_t>(stored));
  return WinogradConv({.in_channels = static_cast<int>(stored),
                       .used_channels = static_cast<int>(channels),
                       .out_channels = static_cast<int>(stored),
                       .height = static_cast<int>(grid),
                       .width = static_cast<int>(grid),
                       .block = static_cast<int>(block)},
                      wide.data_ptr<float>(), bias.data(), threads);
}

}  // namespace

class PackedNeck::Impl {
 public:
  Impl(const Neck& neck, std::int64_t grid, Precision precision, int threads)
      : tokens_(grid * grid),
        channels_(neck->conv1->options.out_channels),
        block_(nn::onednn::CpuChannelBlock()),
        stored_(RoundUp(channels_, block_)),
        precision_(precision),
        conv1_(neck->conv1->weight.flatten(1), {}, tokens_, precision, Precision::kFloat32,
               Epilogue::kNone, threads),
        norm1_(Norm(neck->norm1)),
        norm2_(Norm(neck->norm2)),
        conv2_(MakeConv(neck->conv2->weight, grid, block_, threads)),
        narrow_(tokens_ * channels_),
        blocked_(at::zeros({stored_, tokens_})),
        filtered_(at::empty({stored_, tokens_})),
        scratch_(at::empty({static_cast<std::int64_t>(conv2_.scratch_bytes() / sizeof(float))})) {}

  at::Tensor Run(const float* tokens, std::int64_t width) {
    if (precision_ == Precision::kFloat32) {
      conv1_.Run(tokens, narrow_.data());
    } else {
      conv1_.Run(Converted(tokens, tokens_ * width, &converted_), narrow_.data());
    }
    float* blocked = blocked_.data_ptr<float>();
#pragma omp parallel
    {
      std::vector<float> row(static_cast<std::size_t>(channels_));
#pragma omp for schedule(static)
      for (std::int64_t i = 0; i < tokens_; ++i) {
        norm1_.RunOnThisThread(narrow_.data() + i * channels_, 1, row.data());
        ForEachBlock([&](std::int64_t first, std::int64_t count) {
          std::copy_n(row.data() + first, count, blocked + first * tokens_ + i * block_);
        });
      }
    }
    conv2_.Run<float>(blocked, nullptr, filtered_.data_ptr<float>(), scratch_.data_ptr<float>());
    const at::Tensor embedding = at::empty({1, channels_, tokens_});
    const float* filtered = filtered_.data_ptr<float>();
    float* out = embedding.data_ptr<float>();
#pragma omp parallel
    {
      // A cache line of tokens together, as their values end up side by side.
      std::vector<float> row(static_cast<std::size_t>(channels_)), normed(kTokens * row.size());
#pragma omp for schedule(static)
      for (std::int64_t first = 0; first < tokens_; first += kTokens) {
        const std::int64_t count = std::min(kTokens, tokens_ - first);
        for (std::int64_t i = 0; i < count; ++i) {
          ForEachBlock([&](std::int64_t channel, std::int64_t channels) {
            std::copy_n(filtered + channel * tokens_ + (first + i) * block_, channels,
                        row.data() + channel);
          });
          norm2_.RunOnThisThread(row.data(), 1, normed.data() + i * channels_);
        }
        for (std::int64_t c = 0; c < channels_; ++c) {
          for (std::int64_t i = 0; i < count; ++i) {
            out[c * tokens_ + first + i] = normed[i * channels_ + c];
          }
        }
      }
    }
    return embedding;
  }

 private:
  static constexpr std::int64_t kTokens = 16;

  // visit(first channel, channels) of each block.
  template <typename Visit>
  void ForEachBlock(const Visit& visit) const {
    for (std::int64_t first = 0; first < channels_; first += block_) {
      visit(first, std::min(block_, channels_ - first));
    }
  }

  const std::int64_t tokens_, channels_, block_, stored_;
  const Precision precision_;
  PackedLinear conv1_;
  const RowNorm norm1_, norm2_;
  const WinogradConv conv2_;
  std::vector<float> narrow_;                      // [tokens, channels]
  const at::Tensor blocked_, filtered_, scratch_;  // LibTorch aligns to 64 bytes
  std::vector<BFloat16Bits> converted_;
};

PackedNeck::PackedNeck(const Neck& neck, std::int64_t grid, Precision precision, int threads)
    : plain_(neck),
      grid_(grid),
      impl_(nn::onednn::CpuChannelBlock() == 0
                ? nullptr
                : std::make_unique<Impl>(neck, grid, precision, threads)) {}

PackedNeck::~PackedNeck() = default;

at::Tensor PackedNeck::Run(const at::Tensor& tokens) {
  if (impl_ == nullptr) {
    return Neck(plain_)(tokens.slice(1, 0, grid_).permute({0, 3, 1, 2})).contiguous();
  }
  const at::Tensor embedding = impl_->Run(tokens.data_ptr<float>(), tokens.size(3));
  return embedding.view({1, embedding.size(1), grid_, grid_});
}

}  // namespace segmenter
