#include "nn/onednn/winograd.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace nn::onednn {
namespace {

struct Free {
  void operator()(void* p) const { ::operator delete (p, std::align_val_t{64}); }
};

template <typename T>
std::unique_ptr<T[], Free> Aligned(std::size_t bytes) {
  return std::unique_ptr<T[], Free>(static_cast<T*>(::operator new (bytes, std::align_val_t{64})));
}

// [1, C, H, W] as [blocks][H][W][block], rounded to T.
template <typename T>
std::unique_ptr<T[], Free> Block(const at::Tensor& x, int block) {
  const at::Tensor blocked = x.reshape({x.size(1) / block, block, x.size(2), x.size(3)})
                                 .permute({0, 2, 3, 1})
                                 .contiguous();
  auto result = Aligned<T>(sizeof(T) * x.numel());
  for (std::int64_t i = 0; i < x.numel(); ++i) Store(blocked.data_ptr<float>()[i], &result[i]);
  return result;
}

template <typename T>
at::Tensor Unblock(const T* data, at::IntArrayRef sizes, int block) {
  at::Tensor blocked = at::empty({sizes[1] / block, sizes[2], sizes[3], block});
  for (std::int64_t i = 0; i < blocked.numel(); ++i) {
    blocked.data_ptr<float>()[i] = ToFloat(data[i]);
  }
  return blocked.permute({0, 3, 1, 2}).reshape(sizes);
}

bool HasBlocksOf([[maybe_unused]] int block) {
#if defined(__x86_64__)
  return (block == 16 ? __builtin_cpu_supports("avx512bw") : __builtin_cpu_supports("avx2")) != 0;
#else
  return true;  // compiled once, without instructions that a CPU might lack (target_clones.h)
#endif
}

// The largest difference from the convolution in double, relative to its largest value.
template <typename T>
double ErrorOfOne(const WinogradShape& shape, bool with_residual, int threads) {
  at::manual_seed(3);
  const int in = shape.in_channels, out = shape.out_channels;
  at::Tensor image = at::randn({1, in, shape.height, shape.width});
  image.narrow(1, shape.used_channels, in - shape.used_channels).zero_();
  const at::Tensor weight = at::randn({out, in, 3, 3}) / std::sqrt(9.0 * in);
  const at::Tensor bias = at::randn({out}) * 0.1;
  at::Tensor residual = at::randn({1, out, shape.height, shape.width});
  const auto src = Block<T>(image, shape.block);
  const auto add = Block<T>(residual, shape.block);
  const auto dst = Aligned<T>(sizeof(T) * residual.numel());
  const WinogradConv conv(shape, weight.data_ptr<float>(), bias.data_ptr<float>(), threads);
  const auto scratch = Aligned<float>(conv.scratch_bytes());

  conv.Run(src.get(), with_residual ? add.get() : nullptr, dst.get(), scratch.get());

  const auto rounded = [&](const T* data, const at::Tensor& like) {
    return Unblock(data, like.sizes(), shape.block).to(at::kDouble);
  };
  at::Tensor want =
      at::conv2d(rounded(src.get(), image), weight.to(at::kDouble), bias.to(at::kDouble), 1, 1);
  if (shape.activation == Activation::kSilu) want = at::silu(want);
  if (shape.activation == Activation::kSigmoid) want = at::sigmoid(want);
  if (shape.activation == Activation::kGelu) want = at::gelu(want);
  if (shape.activation == Activation::kRelu) want = at::relu(want);
  if (shape.activation == Activation::kLeakyRelu) want = at::leaky_relu(want, kLeakySlope);
  if (with_residual) want = want + shape.residual_scale * rounded(add.get(), residual);
  const at::Tensor got = rounded(dst.get(), residual);
  return ((got - want).abs().max() / want.abs().max()).item<double>();
}

// Of weights that are kept transformed and of plain ones, the larger.
template <typename T>
double ErrorOf(WinogradShape shape, bool with_residual, int threads) {
  shape.plain_weights = false;
  const double transformed = ErrorOfOne<T>(shape, with_residual, threads);
  shape.plain_weights = true;
  return std::max(transformed, ErrorOfOne<T>(shape, with_residual, threads));
}

// The transforms multiply float32's rounding of 6e-8 by some ten, a sum of 9 · 48 products by
// another five.
constexpr double kFloat32 = 1e-5;
// One rounding to eight bits, of the result.
constexpr double kBFloat16 = 0.5 / 128;

TEST(WinogradConvTest, SizesThatNoTileDividesEqualTheConvolution) {
  for (const int block : {8, 16}) {
    if (!HasBlocksOf(block)) continue;
    for (const auto& [height, width] : {std::pair{1, 1}, {4, 4}, {5, 9}, {23, 37}, {40, 80}}) {
      const WinogradShape shape{.in_channels = 48,
                                .used_channels = 48,
                                .out_channels = 3 * block,  // two blocks at once, then one
                                .height = height,
                                .width = width,
                                .block = block};
      EXPECT_LT(ErrorOf<float>(shape, false, 2), kFloat32)
          << block << ": " << height << "x" << width;
    }
  }
}

TEST(WinogradConvTest, ChannelsThatAreOnlyPaddingAreNotRead) {
  for (const int used : {1, 12, 17, 31}) {
    const int block = HasBlocksOf(16) ? 16 : 8;
    const WinogradShape shape{.in_channels = 32,
                              .used_channels = used,
                              .out_channels = 16,
                              .height = 16,
                              .width = 16,
                              .block = block};
    EXPECT_LT(ErrorOf<float>(shape, false, 2), kFloat32) << used;
  }
}

TEST(WinogradConvTest, ActivationThenScaledResidual) {
  for (const int block : {8, 16}) {
    if (!HasBlocksOf(block)) continue;
    for (const Activation act : {Activation::kNone, Activation::kSilu, Activation::kSigmoid,
                                 Activation::kRelu, Activation::kLeakyRelu, Activation::kGelu}) {
      const WinogradShape shape{.in_channels = 32,
                                .used_channels = 32,
                                .out_channels = 32,
                                .height = 13,
                                .width = 20,
                                .block = block,
                                .activation = act,
                                .residual_scale = 0.5F};
      EXPECT_LT(ErrorOf<float>(shape, true, 2), kFloat32) << static_cast<int>(act);
      EXPECT_LT(ErrorOf<BFloat16Bits>(shape, true, 2), kBFloat16) << static_cast<int>(act);
    }
  }
}

TEST(WinogradConvTest, ThreadsShareFewTilesByOutputChannels) {
  const int block = HasBlocksOf(16) ? 16 : 8;
  const WinogradShape shape{.in_channels = 32,
                            .used_channels = 32,
                            .out_channels = 5 * block,
                            .height = 10,
                            .width = 10,
                            .block = block,
                            .activation = Activation::kSilu};
  for (const int threads : {1, 2, 3, 7}) {
    EXPECT_LT(ErrorOf<float>(shape, false, threads), kFloat32) << threads;
  }
}

}  // namespace
}  // namespace nn::onednn
