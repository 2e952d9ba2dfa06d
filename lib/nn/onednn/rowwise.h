// The row-wise passes of a transformer: layer norm, softmax, GELU, addition.
// Compiled for several x86-64 levels; the best one for the CPU is chosen when the program loads.
#ifndef DUET_NN_ONEDNN_ROWWISE_H_
#define DUET_NN_ONEDNN_ROWWISE_H_

#include <cstdint>
#include <limits>

#include "nn/onednn/bfloat16.h"

namespace nn::onednn {

// output = (x - mean) / sqrt(var + eps) · weight + bias over `count` values, biased variance.
void LayerNormRow(const float* x, const float* weight, const float* bias, float eps,
                  std::int64_t count, float* output);
void LayerNormRow(const float* x, const float* weight, const float* bias, float eps,
                  std::int64_t count, BFloat16Bits* output);

// A row's softmax that is computed in parts: of all parts so far.
struct SoftmaxState {
  float largest = -std::numeric_limits<float>::infinity();
  float sum = 0;  // of exp(z - largest)
};

inline constexpr std::int64_t kSoftmaxPadding = 16;

// Unnormalised softmax of one query over `height` rows of a grid of keys, `width` wide:
//   z[y, x] = scores[y, x] · scale + bias_y[y] + bias_x[x],   output[y, x] = exp(z - largest).
// Returns the factor for what was weighted with earlier parts' outputs. Dividing by the sum after
// the product with V is keys / d times cheaper. `scores` is overwritten. REQUIRES: a float32
// `output` is `scores`; kSoftmaxPadding floats behind `scores` and biases are there. They stay as
// they are, but what lies behind a bf16 `output` is overwritten.
float SoftmaxRow(float* scores, std::int64_t height, std::int64_t width, float scale,
                 const float* bias_y, const float* bias_x, SoftmaxState* state, float* output);
float SoftmaxRow(float* scores, std::int64_t height, std::int64_t width, float scale,
                 const float* bias_y, const float* bias_x, SoftmaxState* state,
                 BFloat16Bits* output);

// The same over `count` keys in a row, z[i] = scores[i] · scale + bias[i]; no bias if it is null.
float SoftmaxRow(float* scores, std::int64_t count, float scale, const float* bias,
                 SoftmaxState* state, float* output);
float SoftmaxRow(float* scores, std::int64_t count, float scale, const float* bias,
                 SoftmaxState* state, BFloat16Bits* output);

// The same down the columns of [rows, columns], for any number of calls with more rows: `largest`
// (at first -inf) and `sum` (at first 0) [columns] are of all rows so far, and what was weighted
// with earlier exponentials is to be multiplied by `factor`. Scores become exp(score - largest).
void RunningSoftmax(std::int64_t rows, std::int64_t columns, float* scores, float* largest,
                    float* sum, float* factor);

// Softmax, normalised, in place: a row holds `groups` vectors of kSoftmaxLanes scores, and each
// lane is a softmax over the groups. Rows are `stride` apart.
inline constexpr std::int64_t kSoftmaxLanes = 8;
void SoftmaxOverGroups(std::int64_t rows, std::int64_t groups, std::int64_t stride, float* scores);

// sum = a + b; it may be one of them.
void AddRow(std::int64_t count, const float* a, const float* b, float* sum);

// x = gelu(x), the exact one: not the approximation by tanh.
void GeluRow(std::int64_t count, float* x);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_ROWWISE_H_
