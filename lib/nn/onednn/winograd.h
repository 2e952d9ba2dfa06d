// 3×3 convolutions of stride 1 by Winograd's minimal filtering F(4×4, 3×3): a tile of 6×6 input
// pixels and the 3×3 weights are taken to 36 numbers each, where convolving is multiplying; 4×4
// output pixels come back. A quarter of the multiplications are left. (Lavin and Gray, "Fast
// algorithms for convolutional neural networks", 2016.)
//
// Always computed in float32, whatever the tensors hold: in bfloat16 the transforms would cost
// three of its eight bits.
//
// A group of tiles goes all the way at once, in the second-level cache: input transform, 36 matrix
// products, output transform, bias, activation, residual. Each pass is built for AVX-512 and for
// AVX2.
#ifndef DUET_NN_ONEDNN_WINOGRAD_H_
#define DUET_NN_ONEDNN_WINOGRAD_H_

#include <cstddef>

#include "nn/activation.h"
#include "nn/onednn/aligned.h"
#include "nn/onednn/bfloat16.h"

namespace nn::onednn {

struct WinogradShape {
  int in_channels;    // as stored, whole blocks
  int used_channels;  // the later ones are zeros
  int out_channels;   // as stored
  int height;
  int width;
  int block;  // channels a block: 16 (AVX-512) or 8 (AVX2)
  Activation activation = Activation::kNone;
  float residual_scale = 1;
  // The weights are kept as they are, a quarter of the memory, and transformed whenever they are
  // used.
  bool plain_weights = false;
};

// Immutable after construction; Run may be called from several threads at once, each with a scratch
// of its own.
class WinogradConv {
 public:
  // `weight` [out_channels, in_channels, 3, 3] and `bias` [out_channels] are copied. `threads`:
  // OpenMP threads that Run may use.
  WinogradConv(const WinogradShape& shape, const float* weight, const float* bias, int threads);

  // dst = activation(src * weight + bias) + residual_scale · residual, zeros around src. Tensors
  // are [blocks][height][width][block], T float or BFloat16Bits. `residual` may be null, or be dst;
  // src must not be dst. `scratch`: scratch_bytes(), at a multiple of 64.
  template <typename T>
  void Run(const T* src, const T* residual, T* dst, float* scratch) const;

  std::size_t weight_bytes() const;
  std::size_t scratch_bytes() const;

  // Whether transforming plain weights costs no time in a layer of this size: each is used once an
  // image then, for so few tiles that fetching four times as much from memory takes longer.
  static bool PlainWeightsPay(int height, int width);

 private:
  void CopyWeights(const float* weight);
  void TransformWeights(const float* weight);
  std::size_t ScratchFloats() const;  // of one thread

  const WinogradShape shape_;
  const int threads_;
  int tile_count_;
  int group_count_;  // of tiles
  int group_tiles_;  // in a group, but for the last
  int parts_;        // that the output channels are done in
  // [36][out / block][used_channels][block]; plain: [out / block][used_channels][9][block]
  AlignedArray<float> weight_;
  AlignedArray<float> bias_;
};

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_WINOGRAD_H_
