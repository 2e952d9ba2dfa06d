// Elementary functions without branches and tables, so that compilers vectorise loops over them.
// Inlined everywhere, so that loops which are compiled for several instruction sets vectorise them
// for each.
#ifndef DUET_NN_ONEDNN_VECTOR_MATH_H_
#define DUET_NN_ONEDNN_VECTOR_MATH_H_

#include <bit>
#include <cstdint>
#include <cstring>

namespace nn::onednn {

// x becomes exp(x), with a relative error below 2e-7: 2^n · P(r) with x = n ln 2 + r,
// |r| <= ln 2 / 2; P is the Taylor polynomial of degree 6. REQUIRES: |x| <= 87. F: float or a
// vector of them; I: as many 32-bit integers.
template <typename F, typename I>
[[gnu::always_inline]] inline void ExpOfModerate(F& x) {
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

// The same for any x. Beyond ±87 it is exp(±87): neither the result nor its inverse leaves the
// normal floats.
template <typename F, typename I>
[[gnu::always_inline]] inline void Exp(F& x) {
  const F most = F{} + 87.0F;
  x = x > most ? most : x;
  x = x < -most ? -most : x;
  ExpOfModerate<F, I>(x);
}

[[gnu::always_inline]] inline float Exp(float x) {
  Exp<float, std::int32_t>(x);
  return x;
}

// The same for x <= 0.
template <typename F, typename I>
[[gnu::always_inline]] inline void ExpOfNonPositive(F& x) {
  const F least = F{} - 87.0F;
  x = x < least ? least : x;
  ExpOfModerate<F, I>(x);
}

// The same with a relative error below 8e-5, for results that are rounded to bf16 (4e-3): 2^n ·
// P(r) with x = (n + r) ln 2; P minimises the largest relative error among polynomials of degree 3.
// Half as many polynomial steps, and no second part of ln 2. U: as many unsigned 32-bit integers.
template <typename F, typename U>
[[gnu::always_inline]] inline void RoughExpOfNonPositive(F& x) {
  const F least = F{} - 87.0F;
  x = x < least ? least : x;
  const F shifted = x * 1.44269504F + 12582912.0F;
  const F r = x * 1.44269504F - (shifted - 12582912.0F);
  F p = r * 0.0551716704F + 0.242611143F;
  p = p * r + 0.693260987F;
  p = p * r + 0.999928072F;
  U bits, exponent;
  std::memcpy(&bits, &p, sizeof(bits));
  std::memcpy(&exponent, &shifted, sizeof(exponent));
  bits += exponent << 23;
  std::memcpy(&x, &bits, sizeof(x));
}

// x becomes x · Φ(x), Φ the normal distribution, with an absolute error below 3e-7 · |x|. Φ(x) -
// 1/2 is odd: x · P(x²) up to |x| = 5.2, where it is 1/2 to 1e-7, and constant beyond; P, of degree
// 13 in x² taken to [-1, 1], minimises the largest error. It needs neither an exponential nor a
// division, which take most of the time of the usual forms.
template <typename F>
[[gnu::always_inline]] inline void Gelu(F& x) {
  constexpr float kMost = 5.2F;
  const F most = F{} + kMost;
  F z = x > most ? most : x;
  z = z < -most ? -most : z;
  const F u = z * z * (2.0F / (kMost * kMost)) - 1.0F;
  F p = u * -0.000491134997F + 0.00127715105F;
  p = p * u - 0.00119552133F;
  p = p * u + 0.0017780466F;
  p = p * u - 0.00481470115F;
  p = p * u + 0.00858083367F;
  p = p * u - 0.0124933431F;
  p = p * u + 0.0179458428F;
  p = p * u - 0.0247261431F;
  p = p * u + 0.0319916569F;
  p = p * u - 0.0399296023F;
  p = p * u + 0.0500244051F;
  p = p * u - 0.0677436739F;
  p = p * u + 0.135949999F;
  x = x * (p * z + 0.5F);
}

[[gnu::always_inline]] inline float Gelu(float x) {
  Gelu<float>(x);
  return x;
}

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_VECTOR_MATH_H_
