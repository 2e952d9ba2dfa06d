#include "segmenter_service/packed/packed_conv.h"

#include <ATen/Functions.h>

#include "nn/onednn/aligned.h"
#include "nn/onednn/cpu.h"
#include "segmenter_service/packed/packed_layers.h"

namespace segmenter {
namespace {

using nn::onednn::AlignedVector;
using nn::onednn::WinogradConv;

std::int64_t Stored(std::int64_t channels) {
  const std::int64_t block = nn::onednn::CpuChannelBlock();
  return (channels + block - 1) / block * block;
}

// Zeros stand for the channels that fill up the last blocks.
WinogradConv MakeConv(const at::Tensor& weight, const at::Tensor& bias, std::int64_t side,
                      int threads) {
  const std::int64_t out = weight.size(0), in = weight.size(1);
  const at::Tensor wide = at::zeros({Stored(out), Stored(in), 3, 3});
  wide.slice(0, 0, out).slice(1, 0, in).copy_(weight.detach());
  AlignedVector<float> addends = bias.defined() ? ToVector(bias) : AlignedVector<float>();
  addends.resize(static_cast<std::size_t>(Stored(out)));
  return WinogradConv({.in_channels = static_cast<int>(Stored(in)),
                       .used_channels = static_cast<int>(in),
                       .out_channels = static_cast<int>(Stored(out)),
                       .height = static_cast<int>(side),
                       .width = static_cast<int>(side),
                       .block = nn::onednn::CpuChannelBlock()},
                      wide.data_ptr<float>(), addends.data(), threads);
}

}  // namespace

bool PackedConv3x3::Supported() { return nn::onednn::CpuChannelBlock() != 0; }

PackedConv3x3::PackedConv3x3(const at::Tensor& weight, const at::Tensor& bias, std::int64_t side,
                             int threads)
    : in_(weight.size(1)),
      out_(weight.size(0)),
      pixels_(side * side),
      block_(nn::onednn::CpuChannelBlock()),
      conv_(MakeConv(weight, bias, side, threads)),
      // Whole blocks of floats, so that each part is aligned as the first is.
      memory_(at::zeros({Stored(pixels_) * (Stored(in_) + Stored(out_)) +
                         static_cast<std::int64_t>(conv_.scratch_bytes() / sizeof(float))})),
      input_(memory_.data_ptr<float>()),
      output_(input_ + Stored(pixels_) * Stored(in_)),
      scratch_(output_ + Stored(pixels_) * Stored(out_)) {}

void PackedConv3x3::Run() { conv_.Run<float>(input_, nullptr, output_, scratch_); }

void PlanesToRows(const float* planes, std::int64_t pixels, std::int64_t channels,
                  std::int64_t first, std::int64_t count, float* rows) {
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t i = 0; i < count; ++i) {
      rows[i * channels + c] = planes[c * pixels + first + i];
    }
  }
}

void RowsToPlanes(const float* rows, std::int64_t pixels, std::int64_t channels, std::int64_t first,
                  std::int64_t count, float* planes) {
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t i = 0; i < count; ++i) {
      planes[c * pixels + first + i] = rows[i * channels + c];
    }
  }
}

}  // namespace segmenter
