// The row-wise passes of a transformer: layer norm, softmax, GELU, addition. All run on the calling
// thread. They are compiled for several x86-64 levels; the loader chooses the best one for the CPU.
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

// The softmax of one query's scores, computed in parts; the state is that of all parts so far.
struct SoftmaxState {
  float largest = -std::numeric_limits<float>::infinity();
  float sum = 0;  // of exp(z - largest)
};

// Floats behind the scores and the biases that must be readable: the last register of a row reads
// past the row's end.
inline constexpr std::int64_t kSoftmaxPadding = 16;

// One query's scores over `height` rows of a grid of keys, `width` wide, dense. The softmax is of
//   z[y, x] = scores[y, x] · scale + bias_y[y] + bias_x[x].
struct GridScores {
  float* scores;
  std::int64_t height, width;
  float scale;
  const float *bias_y, *bias_x;  // [height], [width]
};

// One query's scores over `count` keys in a row: z[i] = scores[i] · scale + bias[i].
struct RowScores {
  float* scores;
  std::int64_t count;
  float scale;
  const float* bias;  // [count], or null
};

// Unnormalised softmax of one part of a query's scores: output = exp(z - largest). Returns the
// factor that outputs of earlier parts have to be multiplied by, since `largest` may have grown.
// The caller divides by state->sum after the product with the values, which is keys / head_dim
// times cheaper than dividing here.
//
// The scores are overwritten. What lies behind them stays as it is, but what lies behind a bf16
// `output` is overwritten too. REQUIRES: a float32 `output` is `scores`; kSoftmaxPadding floats
// behind scores and biases are readable, and as many elements behind a bf16 `output` writable.
float SoftmaxRow(const GridScores& part, SoftmaxState* state, float* output);
float SoftmaxRow(const GridScores& part, SoftmaxState* state, BFloat16Bits* output);
float SoftmaxRow(const RowScores& part, SoftmaxState* state, float* output);
float SoftmaxRow(const RowScores& part, SoftmaxState* state, BFloat16Bits* output);

// The same for one softmax a column of [rows, columns], a part being some more rows. `largest` (at
// first -inf) and `sum` (at first 0), both [columns], are of all rows so far; `factor` [columns]
// receives what outputs of earlier parts have to be multiplied by. Scores become
// exp(score - largest).
void RunningSoftmax(std::int64_t rows, std::int64_t columns, float* scores, float* largest,
                    float* sum, float* factor);

inline constexpr std::int64_t kSoftmaxLanes = 8;
// Normalised softmax in place: a row holds `groups` vectors of kSoftmaxLanes scores, and each lane
// is a softmax over the groups. Rows are `stride` floats apart.
void SoftmaxOverGroups(std::int64_t rows, std::int64_t groups, std::int64_t stride, float* scores);

// sum = a + b; it may be one of them.
void AddRow(std::int64_t count, const float* a, const float* b, float* sum);

// x = gelu(x), the exact one: not the approximation by tanh.
void GeluRow(std::int64_t count, float* x);

}  // namespace nn::onednn

#endif  // DUET_NN_ONEDNN_ROWWISE_H_
