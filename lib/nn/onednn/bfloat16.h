// bfloat16 as bits: the upper half of a float's. Inlined everywhere, so that loops compiled for
// several instruction sets vectorise them too.
#ifndef DUET_NN_ONEDNN_BFLOAT16_H_
#define DUET_NN_ONEDNN_BFLOAT16_H_

#include <bit>
#include <cstdint>

namespace nn::onednn {

struct BFloat16Bits {
  std::uint16_t bits;
};

[[gnu::always_inline]] inline float ToFloat(float x) { return x; }
[[gnu::always_inline]] inline float ToFloat(BFloat16Bits x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}

[[gnu::always_inline]] inline void Store(float value, float* out) { *out = value; }
// Rounds to nearest, ties to even, as the hardware does.
[[gnu::always_inline]] inline void Store(float value, BFloat16Bits* out) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  out->bits = static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_BFLOAT16_H_
