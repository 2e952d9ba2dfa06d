// Elementary functions that compilers vectorise, inlined everywhere so that loops compiled for
// several instruction sets vectorise them too.
#ifndef DUET_NN_ONEDNN_VECTOR_MATH_H_
#define DUET_NN_ONEDNN_VECTOR_MATH_H_

#include <bit>
#include <cstdint>

namespace nn::onednn {

// exp for x <= 0, relative error below 2e-7: 2^n · P(r) with x = n ln 2 + r, |r| <= ln 2 / 2; P is
// the Taylor polynomial of degree 6. Below -87 the result is 0 to within the smallest normal float.
[[gnu::always_inline]] inline float ExpOfNonPositive(float x) {
  x = x < -87.0F ? -87.0F : x;
  const float shifted = x * 1.44269504F + 12582912.0F;  // 1.5 · 2^23: rounds to an integer
  const float n = shifted - 12582912.0F;
  const float r =
      (x - n * 0.693359375F) + n * 2.12194440e-4F;  // ln 2 in two parts (Cody and Waite)
  float p = 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const auto exponent =
      std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(12582912.0F);
  return p * std::bit_cast<float>((exponent + 127) << 23);
}

// x/2 · (1 + erf(x / sqrt 2)), absolute error below 2e-7 · |x|: Abramowitz and Stegun, 7.1.26, as
// in oneDNN's own GELU.
[[gnu::always_inline]] inline float Gelu(float x) {
  const float z = (x < 0 ? -x : x) * 0.70710678F;
  const float t = 1.0F / (1.0F + 0.3275911F * z);
  float p = 1.061405429F;
  p = p * t - 1.453152027F;
  p = p * t + 1.421413741F;
  p = p * t - 0.284496736F;
  p = p * t + 0.254829592F;
  const float tail = p * t * ExpOfNonPositive(-z * z);  // 1 - erf(z)
  return 0.5F * x * (x < 0 ? tail : 2.0F - tail);
}

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_VECTOR_MATH_H_
