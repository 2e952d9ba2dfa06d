// The few passes over tensors that oneDNN has no fast primitive for. Memory-bound: their speed is
// that of reading and writing once, so they are plain loops, parallel over channel blocks or rows
// (OpenMP).
//
// A tensor is [blocks][pixels][block] elements, dense; channels-last means one block of all
// channels. T is float or BFloat16Bits.
#ifndef DUET_NN_ONEDNN_ELEMENTWISE_H_
#define DUET_NN_ONEDNN_ELEMENTWISE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "nn/onednn/bfloat16.h"

namespace nn::onednn {

struct BlockedShape {
  int blocks;  // channel blocks
  int height;
  int width;
  int block;  // channels per block
};

// dst = src repeated 2×2; `shape` is src's.
template <typename T>
void Upsample2x(const T* src, const BlockedShape& shape, T* dst);

// dst = src scaled up bilinearly (align_corners=False); `shape` is src's.
template <typename T>
void UpsampleBilinear(const T* src, const BlockedShape& shape, int factor, T* dst);

// The sources are of `shape`; dst, twice as high and wide, has their pixels as 2×2 squares: the
// first's at the top left, then top right, bottom left, bottom right.
template <typename T>
void Interleave2x(const std::array<const T*, 4>& sources, const BlockedShape& shape, T* dst);

// Channels-last pixels, dense.
template <typename T>
struct PixelRun {
  const T* pixels;
  int channels;
};
// dst, channels-last of `shape`, has in each pixel those of `runs`, one after the other.
template <typename T>
void ConcatPixels(const std::vector<PixelRun<T>>& runs, const BlockedShape& shape, T* dst);

// mean[c] over all pixels; `mean` holds blocks · block floats. REQUIRES: one block, or blocks of at
// most 64 channels.
template <typename T>
void MeanOverPixels(const T* src, const BlockedShape& shape, float* mean);

// dst[c] = src[c] · gate[c] for all pixels; dst may be src.
template <typename T>
void ScaleChannels(const T* src, const BlockedShape& shape, const float* gate, T* dst);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_ELEMENTWISE_H_
