// Elementary functions that compilers vectorise, inlined everywhere so that loops compiled for
// several instruction sets vectorise them too.
#ifndef DUET_NN_ONEDNN_VECTOR_MATH_H_
#define DUET_NN_ONEDNN_VECTOR_MATH_H_

#include <bit>
#include <cstdint>
#include <cstring>

namespace nn::onednn {

// x becomes exp(x), with a relative error below 2e-7: 2^n · P(r) with x = n ln 2 + r,
// |r| <= ln 2 / 2; P is the Taylor polynomial of degree 6. Beyond ±87 it is exp(±87): neither the
// result nor its inverse leaves the normal floats. F: float or a vector of them; I: as many 32-bit
// integers.
template <typename F, typename I>
[[gnu::always_inline]] inline void Exp(F& x) {
  const F most = F{} + 87.0F;
  x = x > most ? most : x;
  x = x < -most ? -most : x;
  const F shifted = x * 1.44269504F + 12582912.0F;  // 1.5 · 2^23: rounds to an integer
  const F n = shifted - 12582912.0F;
  const F r = (x - n * 0.693359375F) + n * 2.12194440e-4F;  // ln 2 in two parts (Cody and Waite)
  F p = r * (1.0F / 720) + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  I bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits - std::bit_cast<std::int32_t>(12582912.0F) + 127) << 23;
  F power;
  std::memcpy(&power, &bits, sizeof(power));
  x = p * power;
}

[[gnu::always_inline]] inline float Exp(float x) {
  Exp<float, std::int32_t>(x);
  return x;
}

// The same with a relative error below 8e-5, for results that are rounded to bf16 (4e-3): 2^n ·
// P(r) with x = (n + r) ln 2; P minimises the largest relative error among polynomials of degree 3.
[[gnu::always_inline]] inline float RoughExpOfNonPositive(float x) {
  x = x < -87.0F ? -87.0F : x;
  const float shifted = x * 1.44269504F + 12582912.0F;
  const float r = x * 1.44269504F - (shifted - 12582912.0F);
  float p = 0.0551716704F;
  p = p * r + 0.242611143F;
  p = p * r + 0.693260987F;
  p = p * r + 0.999928072F;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(p) +
                              (std::bit_cast<std::uint32_t>(shifted) << 23));
}

// x becomes x/2 · (1 + erf(x / sqrt 2)), absolute error below 2e-7 · |x|: Abramowitz and Stegun,
// 7.1.26, as in oneDNN's own GELU.
template <typename F, typename I>
[[gnu::always_inline]] inline void Gelu(F& x) {
  const F zero = {};
  const F z = (x < zero ? -x : x) * 0.70710678F;
  const F t = 1.0F / (1.0F + 0.3275911F * z);
  F p = t * 1.061405429F - 1.453152027F;
  p = p * t + 1.421413741F;
  p = p * t - 0.284496736F;
  p = p * t + 0.254829592F;
  F e = -z * z;
  Exp<F, I>(e);
  const F tail = p * t * e;  // 1 - erf(z)
  x = 0.5F * x * (x < zero ? tail : 2.0F - tail);
}

[[gnu::always_inline]] inline float Gelu(float x) {
  Gelu<float, std::int32_t>(x);
  return x;
}

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_VECTOR_MATH_H_
