// The three attentions of the mask decoder's two-way transformer (modeling/transformer.h) as they
// run on a CPU: tokens to tokens, tokens to the image's cells, and cells to tokens.
//
// A prompt has some ten tokens, the image 4096 cells, so the two attentions between them never
// project a cell. A score is
//
//   (W_q token) · (W_k cell) = (W_kᵀ W_q token) · cell,
//
// one column a token and head that cells are multiplied with, and the weighted sum of projected
// cells is the projection of the weighted sum.
#ifndef DUET_SEGMENTER_SERVICE_PACKED_TWO_WAY_ATTENTION_H_
#define DUET_SEGMENTER_SERVICE_PACKED_TWO_WAY_ATTENTION_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "nn/onednn/aligned.h"
#include "nn/onednn/rowwise.h"
#include "segmenter_service/modeling/transformer.h"
#include "segmenter_service/packed/packed_layers.h"
#include "segmenter_service/packed/small_linear.h"

namespace segmenter {

inline constexpr std::int64_t kDecoderHeads = nn::onednn::kSoftmaxLanes;

// Some consecutive cells, dense.
struct CellBlock {
  const float* cells;           // [rows, C]
  const float* with_positions;  // the same plus their positions
  std::int64_t rows;
};

// What cells are multiplied with to get their scores: one column a token and head, padded.
struct ScoreColumns {
  nn::onednn::AlignedVector<float> factors;  // [C, columns]
  nn::onednn::AlignedVector<float> bias;     // [columns]
  std::int64_t count = 0, columns = 0;

  // From rows [row_count, C]; the bias becomes zero.
  void Set(const nn::onednn::AlignedVector<float>& rows, std::int64_t row_count, std::int64_t dim);
  // scores [rows, columns] of cells [rows, dim].
  void Scores(const float* cells, std::int64_t rows, std::int64_t dim, float* scores) const;
};

// For each token and head, the sum of cells weighted by a softmax over all of them, computed a
// block of cells at a time.
struct AttendedCells {
  nn::onednn::AlignedVector<float> largest, sum,
      factor;                               // [columns]; as nn::onednn::RunningSoftmax's
  nn::onednn::AlignedVector<float> values;  // [count, C], not divided by `sum`

  void Clear(std::int64_t columns, std::int64_t count, std::int64_t dim);
  // `scores` [rows, columns] are overwritten.
  void Add(const float* cells, std::int64_t rows, std::int64_t dim, float* scores);
  // Adds the cells that another thread has attended to.
  void Add(const AttendedCells& other, std::int64_t dim);
};

// A projection [internal, C] of cells, done on the tokens' side.
class CellProjection {
 public:
  explicit CellProjection(const at::Tensor& weight);
  // x [tokens, internal] to [tokens * heads, C]: of each head its part of x · weight.
  void Expand(const float* x, std::int64_t tokens, float* out) const;

 private:
  const nn::onednn::AlignedVector<float> weight_;
  const std::int64_t internal_, dim_;
};

// Tokens attend to tokens. Immutable; thread-safe, as the other two are.
class TokenSelfAttention {
 public:
  TokenSelfAttention(TokenAttentionImpl& attention, const nn::LayerNorm& norm);

  // result = norm(residual + attention) for queries and keys x, values v, all [tokens, C];
  // `residual` may be null, `result` may be any of them.
  void Run(const float* x, const float* v, const float* residual, std::int64_t tokens,
           float* result) const;

 private:
  const SmallLinear q_, k_, v_, out_;
  const RowNorm norm_;
};

// Tokens attend to cells.
class TokenToImageAttention {
 public:
  TokenToImageAttention(TokenAttentionImpl& attention, const nn::LayerNorm& norm);

  // x [tokens, C], positions included, to the columns that score cells.
  void Prepare(const float* x, std::int64_t tokens, ScoreColumns* columns) const;
  // queries [tokens, C] = norm(queries + attention), once all cells are in `attended`.
  void Finish(const AttendedCells& attended, std::int64_t tokens, float* queries) const;

 private:
  const std::int64_t dim_, internal_;
  const SmallLinear q_;
  const CellProjection keys_;
  std::vector<SmallLinear> values_;  // of each head
  const SmallLinear out_;
  const RowNorm norm_;
};

// Cells attend to tokens.
class ImageToTokenAttention {
 public:
  ImageToTokenAttention(TokenAttentionImpl& attention, const nn::LayerNorm& norm);

  // A prompt's tokens, projected to the cells' side.
  struct Tokens {
    std::int64_t count = 0;
    ScoreColumns columns;
    nn::onednn::AlignedVector<float>
        values;  // [count * heads, C]: what is added to a cell, times its weight
  };
  // From keys with positions and values without, both [tokens, C].
  void Prepare(const float* keys, const float* values, std::int64_t tokens, Tokens* prepared) const;

  // result [rows, C] = norm(cells + attention); `scores` has room for [rows, columns].
  void Run(const Tokens& tokens, const CellBlock& block, float* scores, float* result) const;

 private:
  const std::int64_t dim_, internal_;
  const SmallLinear k_, v_;
  const CellProjection queries_, out_;
  const nn::onednn::AlignedVector<float> query_bias_, out_bias_;
  const RowNorm norm_;
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_PACKED_TWO_WAY_ATTENTION_H_
