#include "segmenter_service/packed/packed_mask_decoder.h"

#include <ATen/Functions.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "nn/onednn/rowwise.h"
#include "nn/onednn/small_product.h"
#include "segmenter_service/packed/packed_conv.h"
#include "segmenter_service/packed/packed_layers.h"
#include "segmenter_service/packed/packed_mask_feature.h"

namespace segmenter {
namespace {

using nn::onednn::AddSmallProduct;
using nn::onednn::SmallProduct;

constexpr std::int64_t kHeads = nn::onednn::kSoftmaxLanes;
// Cells that pass together: their features, with positions and without, and their scores.
constexpr std::int64_t kCells = 128;
// Cells that are scaled up together: each becomes 4, then 16 pixels.
constexpr std::int64_t kUpscaledCells = 32;

std::vector<float> Transposed(const at::Tensor& weight) { return ToVector(weight.t()); }

void Fill(const float* row, std::int64_t width, std::int64_t rows, float* out) {
  for (std::int64_t r = 0; r < rows; ++r) std::memcpy(out + r * width, row, sizeof(float) * width);
}

// x · weightᵀ + bias for any number of rows, its columns rounded up.
class PackedColumns {
 public:
  // `weight` [out, in], `bias` [out].
  PackedColumns(const at::Tensor& weight, const at::Tensor& bias)
      : in_(weight.size(1)), width_(nn::onednn::RoundUpColumns(weight.size(0))) {
    const at::Tensor padded = at::constant_pad_nd(weight, {0, 0, 0, width_ - weight.size(0)});
    for (std::int64_t first = 0; first < width_; first += kPanel) {
      const std::vector<float> panel = Transposed(padded.slice(0, first, first + kPanel));
      panels_.insert(panels_.end(), panel.begin(), panel.end());
    }
    bias_ = ToVector(at::constant_pad_nd(bias, {0, width_ - bias.size(0)}));
  }
  explicit PackedColumns(const torch::nn::Linear& layer)
      : PackedColumns(layer->weight, layer->bias) {}
  explicit PackedColumns(const nn::Linear& layer) : PackedColumns(layer->weight, layer->bias) {}

  std::int64_t width() const { return width_; }

  // x [rows, in], rows `stride` apart; out [rows, width].
  void Run(const float* x, std::int64_t stride, std::int64_t rows, float* out) const {
    Fill(bias_.data(), width_, rows, out);
    // Worth waking another thread for.
    const bool large = rows * in_ * width_ > (std::int64_t{1} << 21);
#pragma omp parallel for schedule(static) if (large)
    for (std::int64_t first = 0; first < width_; first += kPanel) {
      const std::int64_t columns = std::min(kPanel, width_ - first);
      AddSmallProduct(x, stride, 1, rows, in_, panels_.data() + first * in_, columns, columns,
                      out + first, width_);
    }
  }

 private:
  static constexpr std::int64_t kPanel = 64;

  const std::int64_t in_, width_;
  std::vector<float> panels_;  // each [in, up to kPanel]
  std::vector<float> bias_;
};

// Linear layers with ReLU between them.
class PackedMlp {
 public:
  PackedMlp(const nn::Linear& first, const nn::Linear& second)
      : layers_{PackedColumns(first), PackedColumns(second)} {}
  explicit PackedMlp(MlpImpl& mlp) {
    for (std::size_t i = 0; i < mlp.layers->size(); ++i) {
      layers_.emplace_back(mlp.layers->at<torch::nn::LinearImpl>(i).weight,
                           mlp.layers->at<torch::nn::LinearImpl>(i).bias);
    }
  }

  // Rows of x are `stride` apart. The result, [rows, width()], lies in `scratch`.
  const float* Run(const float* x, std::int64_t stride, std::int64_t rows,
                   std::vector<float>* scratch) const {
    std::int64_t widest = 0;
    for (const PackedColumns& layer : layers_) widest = std::max(widest, layer.width());
    scratch->resize(2 * rows * widest);
    float *out = scratch->data(), *other = out + rows * widest;
    for (const PackedColumns& layer : layers_) {
      layer.Run(x, stride, rows, out);
      if (&layer != &layers_.back()) {
        for (std::int64_t i = 0; i < rows * layer.width(); ++i) out[i] = std::max(out[i], 0.0F);
      }
      x = out;
      stride = layer.width();
      std::swap(out, other);
    }
    return x;
  }

 private:
  std::vector<PackedColumns> layers_;
};

// A projection [internal, C] of cells, done on the tokens' side.
class CellProjection {
 public:
  explicit CellProjection(const at::Tensor& weight)
      : weight_(ToVector(weight)), internal_(weight.size(0)), dim_(weight.size(1)) {}

  // x [tokens, internal] to [tokens * heads, C]: of each head its part of x · weight.
  void Expand(const float* x, std::int64_t tokens, float* out) const {
    const std::int64_t d = internal_ / kHeads;
    for (std::int64_t h = 0; h < kHeads; ++h) {
      SmallProduct(x + h * d, internal_, tokens, d, weight_.data() + h * d * dim_, dim_, dim_,
                   out + h * dim_, kHeads * dim_);
    }
  }

 private:
  const std::vector<float> weight_;
  const std::int64_t internal_, dim_;
};

// What a cell is multiplied with to get its scores: one column a token and head, padded.
struct ScoreColumns {
  std::vector<float> factors;  // [C, columns]
  std::vector<float> bias;     // [columns]
  std::int64_t count = 0, columns = 0;

  // From rows [row_count, C].
  void Set(const std::vector<float>& rows, std::int64_t row_count, std::int64_t dim) {
    count = row_count;
    columns = nn::onednn::RoundUpColumns(count);
    factors.assign(dim * columns, 0.0F);
    bias.assign(columns, 0.0F);
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t c = 0; c < dim; ++c) factors[c * columns + i] = rows[i * dim + c];
    }
  }
  void Scores(const float* cells, std::int64_t rows, std::int64_t dim, float* scores) const {
    Fill(bias.data(), columns, rows, scores);
    AddSmallProduct(cells, dim, 1, rows, dim, factors.data(), columns, columns, scores, columns);
  }
};

// Cells weighted by a softmax over all of them, for each token and head; grows as they pass.
struct WeightedCells {
  std::vector<float> largest, sum, factor;  // [columns]
  std::vector<float> values;                // [count, C], not divided by `sum`

  void Clear(std::int64_t columns, std::int64_t count, std::int64_t dim) {
    largest.assign(columns, -std::numeric_limits<float>::infinity());
    sum.assign(columns, 0.0F);
    factor.resize(columns);
    values.assign(count * dim, 0.0F);
  }
  // `scores` [rows, columns] are overwritten.
  void Add(const float* cells, std::int64_t rows, std::int64_t dim, float* scores) {
    const std::int64_t columns = static_cast<std::int64_t>(sum.size());
    const std::int64_t count = static_cast<std::int64_t>(values.size()) / dim;
    nn::onednn::RunningSoftmax(rows, columns, scores, largest.data(), sum.data(), factor.data());
    for (std::int64_t i = 0; i < count; ++i) {
      if (factor[i] == 1.0F) continue;
      for (std::int64_t c = 0; c < dim; ++c) values[i * dim + c] *= factor[i];
    }
    AddSmallProduct(scores, 1, columns, count, rows, cells, dim, dim, values.data(), dim);
  }
  // Those that another thread saw.
  void Add(const WeightedCells& other, std::int64_t dim) {
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
};

at::Tensor Scaled(const at::Tensor& projection) {  // by 1 / sqrt(head_dim)
  return projection / std::sqrt(static_cast<double>(projection.size(0) / kHeads));
}

RowNorm NormOf(const torch::nn::LayerNorm& norm) {
  return {norm->weight, norm->bias, norm->options.eps()};
}

// Tokens look at tokens.
class SelfAttention {
 public:
  SelfAttention(TokenAttentionImpl& attention, const torch::nn::LayerNorm& norm)
      : q_(Scaled(attention.q_proj->weight), Scaled(attention.q_proj->bias)),
        k_(attention.k_proj),
        v_(attention.v_proj),
        out_(attention.out_proj),
        norm_(NormOf(norm)) {}

  // Of queries and keys x, values v, all [tokens, C]: norm(residual + attention), where `residual`
  // may be null. `result` may be any of them.
  void Run(const float* x, const float* v, const float* residual, std::int64_t tokens,
           float* result) const {
    const std::int64_t width = q_.width(), d = width / kHeads;
    std::vector<float> q(tokens * width), k(q.size()), values(q.size()), seen(q.size());
    q_.Run(x, width, tokens, q.data());
    k_.Run(x, width, tokens, k.data());
    v_.Run(v, width, tokens, values.data());
    std::vector<float> weights(tokens);
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
        float* out = seen.data() + i * width + h * d;
        for (std::int64_t j = 0; j < tokens; ++j) {
          const float* value = values.data() + j * width + h * d;
          for (std::int64_t c = 0; c < d; ++c) out[c] += weights[j] / sum * value[c];
        }
      }
    }
    out_.Run(seen.data(), width, tokens, q.data());
    for (std::int64_t i = 0; residual != nullptr && i < tokens * width; ++i) q[i] += residual[i];
    norm_.RunOnThisThread(q.data(), tokens, result);
  }

 private:
  const PackedColumns q_, k_, v_, out_;
  const RowNorm norm_;
};

// Tokens look at cells.
class TokensToCells {
 public:
  TokensToCells(TokenAttentionImpl& attention, const torch::nn::LayerNorm& norm)
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

  // x [tokens, C], positions included.
  void Ask(const float* x, std::int64_t tokens, ScoreColumns* columns) const {
    std::vector<float> q(tokens * internal_), rows(tokens * kHeads * dim_);
    q_.Run(x, dim_, tokens, q.data());
    keys_.Expand(q.data(), tokens, rows.data());
    columns->Set(rows, tokens * kHeads, dim_);
  }

  // Adds what they saw to queries [tokens, C] and normalises.
  void Answer(const WeightedCells& seen, std::int64_t tokens, float* queries) const {
    const std::int64_t d = internal_ / kHeads, width = values_[0].width();
    std::vector<float> mean(seen.values), part(tokens * width), all(tokens * internal_);
    for (std::int64_t i = 0; i < tokens * kHeads; ++i) {
      for (std::int64_t c = 0; c < dim_; ++c) mean[i * dim_ + c] /= seen.sum[i];
    }
    for (std::int64_t h = 0; h < kHeads; ++h) {
      values_[h].Run(mean.data() + h * dim_, kHeads * dim_, tokens, part.data());
      for (std::int64_t i = 0; i < tokens; ++i) {
        std::copy_n(part.data() + i * width, d, all.data() + i * internal_ + h * d);
      }
    }
    std::vector<float> sum(tokens * dim_);
    out_.Run(all.data(), internal_, tokens, sum.data());
    for (std::int64_t i = 0; i < tokens * dim_; ++i) sum[i] += queries[i];
    norm_.RunOnThisThread(sum.data(), tokens, queries);
  }

 private:
  const std::int64_t dim_, internal_;
  const PackedColumns q_;
  const CellProjection keys_;
  std::vector<PackedColumns> values_;  // of each head
  const PackedColumns out_;
  const RowNorm norm_;
};

// Cells look at tokens.
class CellsToTokens {
 public:
  CellsToTokens(TokenAttentionImpl& attention, const torch::nn::LayerNorm& norm)
      : dim_(attention.q_proj->weight.size(1)),
        internal_(attention.q_proj->weight.size(0)),
        k_(attention.k_proj),
        v_(attention.v_proj),
        queries_(Scaled(attention.q_proj->weight)),
        out_(attention.out_proj->weight.t()),
        query_bias_(ToVector(Scaled(attention.q_proj->bias))),
        out_bias_(ToVector(attention.out_proj->bias)),
        norm_(NormOf(norm)) {}

  // What a prompt's tokens are to the cells.
  struct Tokens {
    std::int64_t count = 0;
    ScoreColumns columns;
    std::vector<float> values;  // [count * heads, C]: what is added to a cell, times its weight
  };
  // Keys with positions, values without, both [tokens, C].
  void Tell(const float* keys, const float* values, std::int64_t tokens, Tokens* told) const {
    const std::int64_t d = internal_ / kHeads;
    std::vector<float> k(tokens * internal_), v(k.size()), rows(tokens * kHeads * dim_);
    k_.Run(keys, dim_, tokens, k.data());
    v_.Run(values, dim_, tokens, v.data());
    queries_.Expand(k.data(), tokens, rows.data());
    told->count = tokens;
    told->columns.Set(rows, tokens * kHeads, dim_);
    for (std::int64_t i = 0; i < tokens * kHeads; ++i) {
      for (std::int64_t c = 0; c < d; ++c) {
        told->columns.bias[i] +=
            query_bias_[i % kHeads * d + c] * k[i / kHeads * internal_ + i % kHeads * d + c];
      }
    }
    told->values.resize(tokens * kHeads * dim_);
    out_.Expand(v.data(), tokens, told->values.data());
  }

  // cells [rows, C] to result: norm(cells + attention). `with_positions`: the cells' queries.
  void Run(const Tokens& tokens, const float* cells, const float* with_positions, std::int64_t rows,
           float* scores, float* result) const {
    const std::int64_t columns = tokens.columns.columns;
    tokens.columns.Scores(with_positions, rows, dim_, scores);
    nn::onednn::SoftmaxOverGroups(rows, tokens.count, columns, scores);
    for (std::int64_t r = 0; r < rows; ++r) {
      nn::onednn::AddRow(dim_, cells + r * dim_, out_bias_.data(), result + r * dim_);
    }
    AddSmallProduct(scores, columns, 1, rows, tokens.count * kHeads, tokens.values.data(), dim_,
                    dim_, result, dim_);
    norm_.RunOnThisThread(result, rows, result);
  }

 private:
  const std::int64_t dim_, internal_;
  const PackedColumns k_, v_;
  const CellProjection queries_, out_;
  const std::vector<float> query_bias_, out_bias_;
  const RowNorm norm_;
};

struct TwoWayLayer {
  explicit TwoWayLayer(TwoWayAttentionBlockImpl& block)
      : self(*block.self_attn, block.norm1),
        toward(*block.cross_attn_token_to_image, block.norm2),
        mlp(block.mlp->lin1, block.mlp->lin2),
        mlp_norm(NormOf(block.norm3)),
        back(*block.cross_attn_image_to_token, block.norm4) {}

  SelfAttention self;
  TokensToCells toward;
  PackedMlp mlp;
  RowNorm mlp_norm;
  CellsToTokens back;
};

// A transposed convolution, kernel 2x2, stride 2: columns [2 x 2, out] of a pixel are its four.
PackedColumns UpConv(const torch::nn::ConvTranspose2d& conv) {
  const at::Tensor& weight = conv->weight;  // [in, out, 2, 2]
  return {weight.permute({2, 3, 1, 0}).reshape({4 * weight.size(1), weight.size(0)}),
          conv->bias.repeat({4})};
}

// What a thread of one pass needs.
struct Scratch {
  std::vector<float> with_positions, scores, half, full, pixels;
  WeightedCells seen;
};

// What one prompt's decoding needs.
struct Workspace {
  std::vector<float> cells;  // [cells, C]
  std::vector<Scratch> scratch;
};

}  // namespace

class PackedMaskDecoder::Impl {
 public:
  Impl(MaskDecoder decoder, const at::Tensor& positions, int threads)
      : decoder_(std::move(decoder)),
        dim_(positions.size(1)),
        grid_(positions.size(2)),
        cells_(grid_ * grid_),
        own_tokens_(ToVector(decoder_->OwnTokens())),
        own_count_(static_cast<std::int64_t>(own_tokens_.size()) / dim_),
        positions_(ToVector(positions.flatten(2)[0].t())),
        final_(*decoder_->transformer->final_attn_token_to_image,
               decoder_->transformer->norm_final_attn),
        iou_head_(*decoder_->iou_prediction_head),
        up1_(UpConv(decoder_->output_upscaling->conv1)),
        up2_(UpConv(decoder_->output_upscaling->conv2)),
        up_norm_(NormOf(decoder_->output_upscaling->norm)),
        hq_(dynamic_cast<MaskDecoderHqImpl*>(decoder_.get())) {
    for (std::size_t i = 0; i < decoder_->transformer->layers->size(); ++i) {
      layers_.emplace_back(decoder_->transformer->layers->at<TwoWayAttentionBlockImpl>(i));
    }
    if (hq_ != nullptr && PackedConv3x3::Supported()) {
      feature_.emplace(hq_->embedding_maskfeature, 4 * grid_, threads);
    }
    for (std::size_t i = 0; i < decoder_->output_hypernetworks_mlps->size(); ++i) {
      hypernetworks_.emplace_back(decoder_->output_hypernetworks_mlps->at<MlpImpl>(i));
    }
  }

  DecodedMasks Run(const at::Tensor& image_embeddings, const at::Tensor& sparse,
                   const at::Tensor& dense, const std::vector<at::Tensor>& high_res,
                   bool multimask_output) {
    using Kind = MaskDecoderConfig::Kind;
    const Kind kind = decoder_->config.kind;
    const std::int64_t batch = sparse.size(0), low = 4 * grid_;
    const std::int64_t masks = static_cast<std::int64_t>(hypernetworks_.size());
    const bool only_answers = kind == Kind::kSam;
    const std::int64_t first = only_answers && multimask_output ? 1 : 0;
    const std::int64_t last = only_answers && !multimask_output ? 1 : masks;

    DecodedMasks decoded{at::empty({batch, last - first, low, low}), at::empty({batch, masks})};
    at::Tensor tokens, upscaled;
    if (kind == Kind::kHq) {
      tokens = at::empty({batch, own_count_ + sparse.size(1), dim_});
      upscaled = at::empty({batch, dim_ / 8, low, low});
    }
    const at::Tensor image = ToRows(image_embeddings, dense), points = sparse.contiguous();
    std::vector<at::Tensor> maps;
    if (kind == Kind::kSam2) {
      for (const at::Tensor& map : high_res) maps.push_back(map.contiguous());
    }
    const auto decode = [&](std::int64_t prompt, Workspace* workspace) {
      const auto row = [&](const at::Tensor& t) {
        if (!t.defined()) return static_cast<float*>(nullptr);
        return t.data_ptr<float>() + (t.size(0) == 1 ? 0 : prompt) * t.stride(0);
      };
      Decode({.image = row(image),
              .sparse = row(points),
              .sparse_count = points.size(1),
              .full_map = maps.empty() ? nullptr : row(maps[0]),
              .half_map = maps.empty() ? nullptr : row(maps[1]),
              .first_mask = first,
              .last_mask = last,
              .logits = row(decoded.logits),
              .iou = row(decoded.iou_predictions),
              .tokens = row(tokens),
              .upscaled = row(upscaled)},
             workspace);
    };

    // Each thread takes prompts of its own as long as there is one for each; all join for the rest.
    const std::int64_t threads = omp_get_max_threads();
    workspaces_.resize(threads);
    const std::int64_t apart = threads == 1 ? 0 : batch / threads * threads;
#pragma omp parallel for schedule(static) if (apart > 0)
    for (std::int64_t i = 0; i < apart; ++i) decode(i, &workspaces_[omp_get_thread_num()]);
    for (std::int64_t i = apart; i < batch; ++i) decode(i, &workspaces_[0]);

    if (only_answers) return {decoded.logits, decoded.iou_predictions.slice(1, first, last)};
    const DecodedMasks refined =
        feature_.has_value() ? hq_->RefineWith(decoded, tokens, feature_->Run(upscaled), high_res)
                             : decoder_->Refine(decoded, tokens, upscaled, high_res);
    return decoder_->Select(refined, multimask_output);
  }

 private:
  // One prompt, all dense.
  struct Job {
    const float* image;   // [cells, C], the dense prompt added
    const float* sparse;  // [sparse_count, C]
    std::int64_t sparse_count;
    const float *full_map, *half_map;  // SAM 2: [C / 8, 4 grid, 4 grid], [C / 4, 2 grid, 2 grid]
    std::int64_t first_mask, last_mask;
    float* logits;    // [masks, 4 grid, 4 grid]
    float* iou;       // [all mask tokens]
    float* tokens;    // [tokens, C], or null
    float* upscaled;  // [C / 8, 4 grid, 4 grid], or null
  };

  // [1 or B, C, grid, grid] of both to their sum, [1 or B, cells, C].
  at::Tensor ToRows(const at::Tensor& image, const at::Tensor& dense) const {
    const at::Tensor plane = image.contiguous();
    const bool alike = dense.size(2) == 1;  // for all cells
    const at::Tensor added = dense.contiguous();
    const std::int64_t batch = dense.size(0);
    at::Tensor rows = at::empty({batch, cells_, dim_});
    constexpr std::int64_t kTile = 16;
    for (std::int64_t b = 0; b < batch; ++b) {
      const float* in = plane.data_ptr<float>();
      const float* add = added.data_ptr<float>() + b * added.stride(0);
      float* out = rows.data_ptr<float>() + b * cells_ * dim_;
#pragma omp parallel for schedule(static)
      for (std::int64_t first = 0; first < cells_; first += kTile) {
        const std::int64_t last = std::min(first + kTile, cells_);
        for (std::int64_t c0 = 0; c0 < dim_; c0 += kTile) {
          for (std::int64_t i = first; i < last; ++i) {
            for (std::int64_t c = c0; c < c0 + kTile; ++c) {
              out[i * dim_ + c] = in[c * cells_ + i] + add[alike ? c : c * cells_ + i];
            }
          }
        }
      }
    }
    return rows;
  }

  void Decode(const Job& job, Workspace* workspace) const {
    const std::int64_t count = own_count_ + job.sparse_count, size = count * dim_;
    std::vector<float> tokens(own_tokens_);
    tokens.insert(tokens.end(), job.sparse, job.sparse + job.sparse_count * dim_);
    std::vector<float> queries = tokens, with_tokens(size), mlp;
    const auto add_tokens = [&] {
      for (std::int64_t i = 0; i < size; ++i) with_tokens[i] = queries[i] + tokens[i];
      return with_tokens.data();
    };

    ScoreColumns asked;
    WeightedCells seen;
    CellsToTokens::Tokens told;
    const float* image = job.image;
    for (std::size_t i = 0; i <= layers_.size(); ++i) {
      const bool at_end = i == layers_.size();
      if (i == 0) {
        layers_[i].self.Run(tokens.data(), tokens.data(), nullptr, count, queries.data());
      } else if (!at_end) {
        layers_[i].self.Run(add_tokens(), queries.data(), queries.data(), count, queries.data());
      }
      const TokensToCells& toward = at_end ? final_ : layers_[i].toward;
      toward.Ask(add_tokens(), count, &asked);
      image = Pass(image, i == 0 ? nullptr : &layers_[i - 1].back, told, asked, workspace, &seen);
      toward.Answer(seen, count, queries.data());
      if (at_end) break;
      const float* more = layers_[i].mlp.Run(queries.data(), dim_, count, &mlp);
      for (std::int64_t j = 0; j < size; ++j) queries[j] += more[j];
      layers_[i].mlp_norm.RunOnThisThread(queries.data(), count, queries.data());
      layers_[i].back.Tell(add_tokens(), queries.data(), count, &told);
    }

    const float* iou_token = queries.data() + decoder_->iou_index() * dim_;
    std::copy_n(iou_head_.Run(iou_token, dim_, 1, &mlp), hypernetworks_.size(), job.iou);
    if (job.tokens != nullptr) std::copy_n(queries.data(), size, job.tokens);
    // [C / 8, masks rounded up]
    const std::int64_t width = nn::onednn::RoundUpColumns(job.last_mask - job.first_mask);
    std::vector<float> weights(dim_ / 8 * width, 0.0F);
    for (std::int64_t m = job.first_mask; m < job.last_mask; ++m) {
      const float* column = hypernetworks_[m].Run(iou_token + (1 + m) * dim_, dim_, 1, &mlp);
      for (std::int64_t c = 0; c < dim_ / 8; ++c)
        weights[c * width + m - job.first_mask] = column[c];
    }
    Upscale(image, weights, width, job, workspace);
  }

  // All cells pass once: they look at `told` (if `back` isn't null; returns where they then are),
  // and are seen by `asked`.
  const float* Pass(const float* image, const CellsToTokens* back,
                    const CellsToTokens::Tokens& told, const ScoreColumns& asked,
                    Workspace* workspace, WeightedCells* seen) const {
    workspace->cells.resize(cells_ * dim_);
    workspace->scratch.resize(omp_get_max_threads());
    const std::int64_t columns = std::max(asked.columns, told.columns.columns);
    float* updated = workspace->cells.data();
    int threads = 1;
#pragma omp parallel
    {
      Scratch& scratch = workspace->scratch[omp_get_thread_num()];
      scratch.with_positions.resize(kCells * dim_);
      scratch.scores.resize(kCells * columns);
      scratch.seen.Clear(asked.columns, asked.count, dim_);
      float *with_positions = scratch.with_positions.data(), *scores = scratch.scores.data();
#pragma omp for schedule(static)
      for (std::int64_t first = 0; first < cells_; first += kCells) {
        const std::int64_t rows = std::min(kCells, cells_ - first);
        const float* block = image + first * dim_;
        const auto add_positions = [&] {
          nn::onednn::AddRow(rows * dim_, block, positions_.data() + first * dim_, with_positions);
        };
        add_positions();
        if (back != nullptr) {
          back->Run(told, block, with_positions, rows, scores, updated + first * dim_);
          block = updated + first * dim_;
          add_positions();
        }
        asked.Scores(with_positions, rows, dim_, scores);
        scratch.seen.Add(block, rows, dim_, scores);
      }
#pragma omp single nowait
      threads = omp_get_num_threads();
    }
    std::swap(*seen, workspace->scratch[0].seen);
    for (int t = 1; t < threads; ++t) seen->Add(workspace->scratch[t].seen, dim_);
    return back != nullptr ? updated : image;
  }

  // Cells to masks: `weights` [C / 8, width].
  void Upscale(const float* cells, const std::vector<float>& weights, std::int64_t width,
               const Job& job, Workspace* workspace) const {
    const std::int64_t half_dim = dim_ / 4, full_dim = dim_ / 8, low = 4 * grid_;
    const std::int64_t masks = job.last_mask - job.first_mask;
#pragma omp parallel
    {
      Scratch& scratch = workspace->scratch[omp_get_thread_num()];
      scratch.half.resize(kUpscaledCells * 4 * half_dim);
      scratch.full.resize(kUpscaledCells * 16 * full_dim);
      scratch.pixels.resize(kUpscaledCells * 16 * width);
      float *half = scratch.half.data(), *full = scratch.full.data();
      float* pixels = scratch.pixels.data();
#pragma omp for schedule(static)
      for (std::int64_t first = 0; first < cells_; first += kUpscaledCells) {
        const std::int64_t rows = std::min(kUpscaledCells, cells_ - first);
        // visit(index, y, x) of the pixels that the cells become in `steps` doublings.
        const auto for_each_pixel = [&](int steps, const auto& visit) {
          for (std::int64_t i = 0; i < rows << (2 * steps); ++i) {
            const std::int64_t cell = first + (i >> (2 * steps));
            std::int64_t y = cell / grid_, x = cell % grid_;
            for (int step = steps - 1; step >= 0; --step) {
              y = 2 * y + (i >> (2 * step + 1) & 1);
              x = 2 * x + (i >> (2 * step) & 1);
            }
            visit(i, y, x);
          }
        };
        const auto add_map = [&](const float* map, int steps, std::int64_t channels, float* to) {
          const std::int64_t side = grid_ << steps;
          for_each_pixel(steps, [&](std::int64_t i, std::int64_t y, std::int64_t x) {
            for (std::int64_t c = 0; c < channels; ++c) {
              to[i * channels + c] += map[(c * side + y) * side + x];
            }
          });
        };
        up1_.Run(cells + first * dim_, dim_, rows, half);
        if (job.half_map != nullptr) add_map(job.half_map, 1, half_dim, half);
        up_norm_.RunOnThisThread(half, rows * 4, half);
        nn::onednn::GeluRow(rows * 4 * half_dim, half);
        up2_.Run(half, half_dim, rows * 4, full);
        if (job.full_map != nullptr) add_map(job.full_map, 2, full_dim, full);
        nn::onednn::GeluRow(rows * 16 * full_dim, full);
        SmallProduct(full, full_dim, rows * 16, full_dim, weights.data(), width, width, pixels,
                     width);
        for_each_pixel(2, [&](std::int64_t i, std::int64_t y, std::int64_t x) {
          for (std::int64_t m = 0; m < masks; ++m) {
            job.logits[(m * low + y) * low + x] = pixels[i * width + m];
          }
          for (std::int64_t c = 0; job.upscaled != nullptr && c < full_dim; ++c) {
            job.upscaled[(c * low + y) * low + x] = full[i * full_dim + c];
          }
        });
      }
    }
  }

  MaskDecoder decoder_;
  const std::int64_t dim_, grid_, cells_;
  const std::vector<float> own_tokens_;  // [own_count, C]
  const std::int64_t own_count_;
  const std::vector<float> positions_;  // [cells, C]
  std::vector<TwoWayLayer> layers_;
  const TokensToCells final_;
  const PackedMlp iou_head_;
  std::vector<PackedMlp> hypernetworks_;
  const PackedColumns up1_, up2_;
  const RowNorm up_norm_;
  MaskDecoderHqImpl* const hq_;  // decoder_, if it is HQ-SAM's
  std::optional<PackedMaskFeature> feature_;
  std::vector<Workspace> workspaces_;  // of each thread
};

bool PackedMaskDecoder::Supports(const MaskDecoderConfig& config, std::int64_t dim) {
  // Rows of whole vectors, also where only a share of the channels is left.
  const std::int64_t internal = dim / config.attention_downsample;
  return config.num_heads == kHeads && dim % (2 * nn::onednn::kSmallProductColumns) == 0 &&
         internal % nn::onednn::kSmallProductColumns == 0;
}

PackedMaskDecoder::PackedMaskDecoder(MaskDecoder decoder, const at::Tensor& positions, int threads)
    : impl_(std::make_unique<Impl>(std::move(decoder), positions, threads)) {}

PackedMaskDecoder::~PackedMaskDecoder() = default;

DecodedMasks PackedMaskDecoder::Run(const at::Tensor& image_embeddings, const at::Tensor& sparse,
                                    const at::Tensor& dense,
                                    const std::vector<at::Tensor>& high_res,
                                    bool multimask_output) {
  return impl_->Run(image_embeddings, sparse, dense, high_res, multimask_output);
}

}  // namespace segmenter
