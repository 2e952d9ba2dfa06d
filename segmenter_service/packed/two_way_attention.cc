#include "segmenter_service/packed/two_way_attention.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "nn/onednn/aligned.h"
#include "nn/onednn/small_product.h"

namespace segmenter {
namespace {

using nn::onednn::AddSmallProduct;
using nn::onednn::AlignedVector;
using nn::onednn::SmallProduct;

constexpr std::int64_t kHeads = kDecoderHeads;

at::Tensor Scaled(const at::Tensor& projection) {  // by 1 / sqrt(head_dim)
  return projection / std::sqrt(static_cast<double>(projection.size(0) / kHeads));
}

}  // namespace

void ScoreColumns::Set(const AlignedVector<float>& rows, std::int64_t row_count, std::int64_t dim) {
  count = row_count;
  columns = nn::onednn::RoundUpColumns(count);
  factors.assign(dim * columns, 0.0F);
  bias.assign(columns, 0.0F);
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t c = 0; c < dim; ++c) factors[c * columns + i] = rows[i * dim + c];
  }
}

void ScoreColumns::Scores(const float* cells, std::int64_t rows, std::int64_t dim,
                          float* scores) const {
  FillRows(bias.data(), columns, rows, scores);
  AddSmallProduct({cells, rows, dim, dim}, {factors.data(), dim, columns, columns}, scores,
                  columns);
}

void AttendedCells::Clear(std::int64_t columns, std::int64_t count, std::int64_t dim) {
  largest.assign(columns, -std::numeric_limits<float>::infinity());
  sum.assign(columns, 0.0F);
  factor.resize(columns);
  values.assign(count * dim, 0.0F);
}

void AttendedCells::Add(const float* cells, std::int64_t rows, std::int64_t dim, float* scores) {
  const std::int64_t columns = static_cast<std::int64_t>(sum.size());
  const std::int64_t count = static_cast<std::int64_t>(values.size()) / dim;
  nn::onednn::RunningSoftmax(rows, columns, scores, largest.data(), sum.data(), factor.data());
  for (std::int64_t i = 0; i < count; ++i) {
    if (factor[i] == 1.0F) continue;
    for (std::int64_t c = 0; c < dim; ++c) values[i * dim + c] *= factor[i];
  }
  nn::onednn::AddTransposedProduct({scores, rows, count, columns}, {cells, rows, dim, dim},
                                   values.data(), dim);
}

void AttendedCells::Add(const AttendedCells& other, std::int64_t dim) {
  const std::int64_t count = static_cast<std::int64_t>(values.size()) / dim;
  for (std::int64_t i = 0; i < count; ++i) {
    if (other.sum[i] == 0.0F) continue;
    const float both = std::max(largest[i], other.largest[i]);
    const float mine = std::exp(largest[i] - both), theirs = std::exp(other.largest[i] - both);
    largest[i] = both;
    sum[i] = sum[i] * mine + other.sum[i] * theirs;
    for (std::int64_t c = 0; c < dim; ++c) {
      values[i * dim + c] = values[i * dim + c] * mine + other.values[i * dim + c] * theirs;
    }
  }
}

CellProjection::CellProjection(const at::Tensor& weight)
    : weight_(ToVector(weight)), internal_(weight.size(0)), dim_(weight.size(1)) {}

void CellProjection::Expand(const float* x, std::int64_t tokens, float* out) const {
  const std::int64_t d = internal_ / kHeads;
  for (std::int64_t h = 0; h < kHeads; ++h) {
    SmallProduct({x + h * d, tokens, d, internal_}, {weight_.data() + h * d * dim_, d, dim_, dim_},
                 out + h * dim_, kHeads * dim_);
  }
}

TokenSelfAttention::TokenSelfAttention(TokenAttentionImpl& attention, const nn::LayerNorm& norm)
    : q_(Scaled(attention.q_proj->weight), Scaled(attention.q_proj->bias)),
      k_(attention.k_proj),
      v_(attention.v_proj),
      out_(attention.out_proj),
      norm_(NormOf(norm)) {}

void TokenSelfAttention::Run(const float* x, const float* v, const float* residual,
                             std::int64_t tokens, float* result) const {
  const std::int64_t width = q_.width(), d = width / kHeads;
  AlignedVector<float> q(tokens * width), k(q.size()), values(q.size()), attended(q.size());
  q_.Run(x, width, tokens, q.data());
  k_.Run(x, width, tokens, k.data());
  v_.Run(v, width, tokens, values.data());
  AlignedVector<float> weights(tokens);
  for (std::int64_t h = 0; h < kHeads; ++h) {
    for (std::int64_t i = 0; i < tokens; ++i) {
      const float* query = q.data() + i * width + h * d;
      float largest = -std::numeric_limits<float>::infinity(), sum = 0;
      for (std::int64_t j = 0; j < tokens; ++j) {
        const float* key = k.data() + j * width + h * d;
        float score = 0;
        for (std::int64_t c = 0; c < d; ++c) score += query[c] * key[c];
        weights[j] = score;
        largest = std::max(largest, score);
      }
      for (float& weight : weights) sum += weight = std::exp(weight - largest);
      float* out = attended.data() + i * width + h * d;
      for (std::int64_t j = 0; j < tokens; ++j) {
        const float* value = values.data() + j * width + h * d;
        for (std::int64_t c = 0; c < d; ++c) out[c] += weights[j] / sum * value[c];
      }
    }
  }
  out_.Run(attended.data(), width, tokens, q.data());
  for (std::int64_t i = 0; residual != nullptr && i < tokens * width; ++i) q[i] += residual[i];
  norm_.RunOnThisThread(q.data(), tokens, result);
}

TokenToImageAttention::TokenToImageAttention(TokenAttentionImpl& attention,
                                             const nn::LayerNorm& norm)
    : dim_(attention.k_proj->weight.size(1)),
      internal_(attention.k_proj->weight.size(0)),
      q_(attention.q_proj),
      keys_(Scaled(attention.k_proj->weight)),
      out_(attention.out_proj),
      norm_(NormOf(norm)) {
  const at::Tensor weight = attention.v_proj->weight, bias = attention.v_proj->bias;
  const std::int64_t d = internal_ / kHeads;
  for (std::int64_t h = 0; h < kHeads; ++h) {
    values_.emplace_back(weight.slice(0, h * d, (h + 1) * d), bias.slice(0, h * d, (h + 1) * d));
  }
}

// The keys' bias adds the same to all scores of a token and drops out of the softmax.
void TokenToImageAttention::Prepare(const float* x, std::int64_t tokens,
                                    ScoreColumns* columns) const {
  AlignedVector<float> q(tokens * internal_), rows(tokens * kHeads * dim_);
  q_.Run(x, dim_, tokens, q.data());
  keys_.Expand(q.data(), tokens, rows.data());
  columns->Set(rows, tokens * kHeads, dim_);
}

void TokenToImageAttention::Finish(const AttendedCells& attended, std::int64_t tokens,
                                   float* queries) const {
  const std::int64_t d = internal_ / kHeads, width = values_[0].width();
  AlignedVector<float> mean(attended.values), part(tokens * width), all(tokens * internal_);
  for (std::int64_t i = 0; i < tokens * kHeads; ++i) {
    for (std::int64_t c = 0; c < dim_; ++c) mean[i * dim_ + c] /= attended.sum[i];
  }
  for (std::int64_t h = 0; h < kHeads; ++h) {
    values_[h].Run(mean.data() + h * dim_, kHeads * dim_, tokens, part.data());
    for (std::int64_t i = 0; i < tokens; ++i) {
      std::copy_n(part.data() + i * width, d, all.data() + i * internal_ + h * d);
    }
  }
  AlignedVector<float> sum(tokens * dim_);
  out_.Run(all.data(), internal_, tokens, sum.data());
  for (std::int64_t i = 0; i < tokens * dim_; ++i) sum[i] += queries[i];
  norm_.RunOnThisThread(sum.data(), tokens, queries);
}

ImageToTokenAttention::ImageToTokenAttention(TokenAttentionImpl& attention,
                                             const nn::LayerNorm& norm)
    : dim_(attention.q_proj->weight.size(1)),
      internal_(attention.q_proj->weight.size(0)),
      k_(attention.k_proj),
      v_(attention.v_proj),
      queries_(Scaled(attention.q_proj->weight)),
      out_(attention.out_proj->weight.t()),
      query_bias_(ToVector(Scaled(attention.q_proj->bias))),
      out_bias_(ToVector(attention.out_proj->bias)),
      norm_(NormOf(norm)) {}

void ImageToTokenAttention::Prepare(const float* keys, const float* values, std::int64_t tokens,
                                    Tokens* prepared) const {
  const std::int64_t d = internal_ / kHeads;
  AlignedVector<float> k(tokens * internal_), v(k.size()), rows(tokens * kHeads * dim_);
  k_.Run(keys, dim_, tokens, k.data());
  v_.Run(values, dim_, tokens, v.data());
  queries_.Expand(k.data(), tokens, rows.data());
  prepared->count = tokens;
  prepared->columns.Set(rows, tokens * kHeads, dim_);
  for (std::int64_t i = 0; i < tokens * kHeads; ++i) {
    for (std::int64_t c = 0; c < d; ++c) {
      prepared->columns.bias[i] +=
          query_bias_[i % kHeads * d + c] * k[i / kHeads * internal_ + i % kHeads * d + c];
    }
  }
  prepared->values.resize(tokens * kHeads * dim_);
  out_.Expand(v.data(), tokens, prepared->values.data());
}

void ImageToTokenAttention::Run(const Tokens& tokens, const CellBlock& block, float* scores,
                                float* result) const {
  const std::int64_t rows = block.rows, columns = tokens.columns.columns;
  const std::int64_t weights = tokens.count * kHeads;
  tokens.columns.Scores(block.with_positions, rows, dim_, scores);
  nn::onednn::SoftmaxOverGroups(rows, tokens.count, columns, scores);
  for (std::int64_t r = 0; r < rows; ++r) {
    nn::onednn::AddRow(dim_, block.cells + r * dim_, out_bias_.data(), result + r * dim_);
  }
  AddSmallProduct({scores, rows, weights, columns}, {tokens.values.data(), weights, dim_, dim_},
                  result, dim_);
  norm_.RunOnThisThread(result, rows, result);
}

}  // namespace segmenter
