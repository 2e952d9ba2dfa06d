// A channel block of a pixel in a register, and the activations of one. Internal to nn/onednn. All
// is inlined, so that each CPU level has its own.
#ifndef DUET_NN_ONEDNN_BLOCK_LANES_H_
#define DUET_NN_ONEDNN_BLOCK_LANES_H_

#include <cstdint>

#include "nn/activation.h"
#include "nn/onednn/bfloat16.h"
#include "nn/onednn/vector_math.h"

namespace nn::onednn {

// One channel block of a pixel: a register of AVX-512 (16 channels) or of AVX2 (8).
template <int kBlock>
struct Lanes {
  // No alias declarations: gcc 12 drops attributes from those whose size depends on a parameter.
  typedef float Float __attribute__((vector_size(4 * kBlock), aligned(4), may_alias));
  typedef std::int32_t Int __attribute__((vector_size(4 * kBlock)));
  typedef std::uint32_t Bits __attribute__((vector_size(4 * kBlock)));
  typedef std::uint16_t Half __attribute__((vector_size(2 * kBlock), aligned(2), may_alias));
};

template <int kBlock>
[[gnu::always_inline]] inline void Load(const float* p, typename Lanes<kBlock>::Float& x) {
  x = *reinterpret_cast<const typename Lanes<kBlock>::Float*>(p);
}

template <int kBlock>
[[gnu::always_inline]] inline void Load(const BFloat16Bits* p, typename Lanes<kBlock>::Float& x) {
  using L = Lanes<kBlock>;
  const auto half = *reinterpret_cast<const typename L::Half*>(p);
  const auto bits = __builtin_convertvector(half, typename L::Bits) << 16;
  x = reinterpret_cast<typename L::Float>(bits);
}

template <int kBlock>
[[gnu::always_inline]] inline void Store(const typename Lanes<kBlock>::Float& x, float* p) {
  *reinterpret_cast<typename Lanes<kBlock>::Float*>(p) = x;
}

// Rounds as bfloat16.h's does.
template <int kBlock>
[[gnu::always_inline]] inline void Store(const typename Lanes<kBlock>::Float& x, BFloat16Bits* p) {
  using L = Lanes<kBlock>;
  auto bits = reinterpret_cast<typename L::Bits>(x);
  bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  *reinterpret_cast<typename L::Half*>(p) = __builtin_convertvector(bits, typename L::Half);
}

// x = act(x). No convolution has kHardSigmoid.
template <int kBlock>
[[gnu::always_inline]] inline void Activate(Activation act, typename Lanes<kBlock>::Float& x) {
  using F = typename Lanes<kBlock>::Float;
  using I = typename Lanes<kBlock>::Int;
  const F zero = {};
  switch (act) {
    case Activation::kSilu:
    case Activation::kSigmoid: {
      F e = -x;
      Exp<F, I>(e);
      x = (act == Activation::kSilu ? x : zero + 1.0F) / (1.0F + e);
      break;
    }
    case Activation::kRelu:
      x = x > zero ? x : zero;
      break;
    case Activation::kLeakyRelu:
      x = x > zero ? x : x * kLeakySlope;
      break;
    case Activation::kGelu:
      Gelu<F>(x);
      break;
    case Activation::kNone:
    case Activation::kHardSigmoid:
      break;
  }
}

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_BLOCK_LANES_H_
