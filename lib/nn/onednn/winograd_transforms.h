// The transforms of Winograd's F(4×4, 3×3). Internal to winograd.cc. All is inlined, so that each
// CPU level has its own.
//
// In one dimension, six input numbers and three weights are taken to six places each, where
// convolving is multiplying place by place; the six products give four output numbers. In two
// dimensions the same is done to rows and columns.
#ifndef DUET_NN_ONEDNN_WINOGRAD_TRANSFORMS_H_
#define DUET_NN_ONEDNN_WINOGRAD_TRANSFORMS_H_

namespace nn::onednn::winograd {

inline constexpr int kTile = 4;                  // output pixels a side
inline constexpr int kPatch = kTile + 2;         // input pixels a side
inline constexpr int kPlaces = kPatch * kPatch;  // where inputs and weights are multiplied

// The transforms interpolate at 0, ±kNear, ±kFar and infinity. These points round about three times
// less than the usual 0, ±1, ±2 and are exact in binary.
inline constexpr float kNear = 0.625F;
inline constexpr float kFar = 1.5F;
inline constexpr float kNear2 = kNear * kNear;
inline constexpr float kFar2 = kFar * kFar;

// Six input numbers to the six places; place i goes to out[i · step].
template <typename F>
[[gnu::always_inline]] inline void TransformInput(const F* d, F* out, int step) {
  const F near_even = d[4] - kFar2 * d[2];
  const F near_odd = kNear * d[3] - (kNear * kFar2) * d[1];
  const F far_even = d[4] - kNear2 * d[2];
  const F far_odd = kFar * d[3] - (kFar * kNear2) * d[1];
  out[0] = d[4] + (kNear2 * kFar2) * d[0] - (kNear2 + kFar2) * d[2];
  out[step] = near_even + near_odd;
  out[2 * step] = near_even - near_odd;
  out[3 * step] = far_even + far_odd;
  out[4 * step] = far_even - far_odd;
  out[5 * step] = d[5] + (kNear2 * kFar2) * d[1] - (kNear2 + kFar2) * d[3];
}

// Six products to four output numbers; number i goes to out[i · step].
template <typename F>
[[gnu::always_inline]] inline void TransformOutput(const F* m, F* out, int step) {
  const F near_sum = m[1] + m[2];
  const F near_difference = m[1] - m[2];
  const F far_sum = m[3] + m[4];
  const F far_difference = m[3] - m[4];
  out[0] = m[0] + near_sum + far_sum;
  out[step] = kNear * near_difference + kFar * far_difference;
  out[2 * step] = kNear2 * near_sum + kFar2 * far_sum;
  out[3 * step] = m[5] + (kNear2 * kNear) * near_difference + (kFar2 * kFar) * far_difference;
}

// Three weights to the six places. Number: of the constants.
template <typename F, typename Number>
[[gnu::always_inline]] inline void TransformWeight(const F* g, F* out) {
  constexpr double kNearScale = 1 / (2.0 * kNear2 * (kNear2 - kFar2));
  constexpr double kFarScale = 1 / (2.0 * kFar2 * (kFar2 - kNear2));
  const auto pair = [&](double scale, double x, F* at) {  // at x and -x
    const F even = g[0] * Number(scale) + g[2] * Number(scale * x * x);
    const F odd = g[1] * Number(scale * x);
    at[0] = even + odd;
    at[1] = even - odd;
  };
  out[0] = g[0] * Number(1 / (double{kNear2} * kFar2));
  pair(kNearScale, kNear, out + 1);
  pair(kFarScale, kFar, out + 3);
  out[5] = g[2];
}

}  // namespace nn::onednn::winograd

#endif  // DUET_NN_ONEDNN_WINOGRAD_TRANSFORMS_H_
