#include "segmenter_service/packed/packed_mask_decoder.h"

#include <ATen/Functions.h>
#include <omp.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "nn/onednn/aligned.h"
#include "nn/onednn/rowwise.h"
#include "nn/onednn/small_product.h"
#include "segmenter_service/packed/packed_conv.h"
#include "segmenter_service/packed/packed_layers.h"
#include "segmenter_service/packed/packed_mask_feature.h"
#include "segmenter_service/packed/packed_upscaling.h"
#include "segmenter_service/packed/small_linear.h"
#include "segmenter_service/packed/two_way_attention.h"

namespace segmenter {
namespace {

using nn::onednn::AlignedVector;

// Cells that go through an attention together. With 256 channels their features, with positions and
// without, take 256 KiB: they and their scores stay in the L2 cache.
constexpr std::int64_t kCells = 128;

// TwoWayAttentionBlock (modeling/transformer.h).
struct TwoWayLayer {
  explicit TwoWayLayer(TwoWayAttentionBlockImpl& block)
      : self_attn(*block.self_attn, block.norm1),
        token_to_image(*block.cross_attn_token_to_image, block.norm2),
        mlp(block.mlp->lin1, block.mlp->lin2),
        mlp_norm(NormOf(block.norm3)),
        image_to_token(*block.cross_attn_image_to_token, block.norm4) {}

  TokenSelfAttention self_attn;
  TokenToImageAttention token_to_image;
  SmallMlp mlp;
  RowNorm mlp_norm;
  ImageToTokenAttention image_to_token;
};

// What a thread needs to take cells through an attention.
struct CellScratch {
  AlignedVector<float> with_positions, scores;
  AttendedCells attended;
};

// What one prompt's decoding needs.
struct Workspace {
  AlignedVector<float> cells;  // [cells, C]
  std::vector<CellScratch> cell_scratch;
  std::vector<PackedUpscaling::Scratch> upscaling;
};

// One prompt, all dense.
struct PromptTask {
  const float* image;   // [cells, C], the dense prompt added
  const float* sparse;  // [sparse_count, C]
  std::int64_t sparse_count;
  std::int64_t first_mask, last_mask;
  float* iou;                       // [all mask tokens]
  float* tokens;                    // [tokens, C], or null
  PackedUpscaling::Task upscaling;  // but for cells and weights
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
        final_token_to_image_(*decoder_->transformer->final_attn_token_to_image,
                              decoder_->transformer->norm_final_attn),
        iou_head_(*decoder_->iou_prediction_head),
        upscaling_(decoder_->output_upscaling, dim_, grid_),
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
    // SAM's answers don't depend on the masks that aren't answers, so these are not made.
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
              .first_mask = first,
              .last_mask = last,
              .iou = row(decoded.iou_predictions),
              .tokens = row(tokens),
              .upscaling = {.full_map = maps.empty() ? nullptr : row(maps[0]),
                            .half_map = maps.empty() ? nullptr : row(maps[1]),
                            .masks = last - first,
                            .logits = row(decoded.logits),
                            .upscaled = row(upscaled)}},
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

  void Decode(PromptTask task, Workspace* workspace) const {
    const std::int64_t count = own_count_ + task.sparse_count;
    AlignedVector<float> tokens(own_tokens_);
    tokens.insert(tokens.end(), task.sparse, task.sparse + task.sparse_count * dim_);
    AlignedVector<float> queries = tokens;
    task.upscaling.cells = RunTransformer(tokens, task.image, &queries, workspace);

    AlignedVector<float> mlp;
    const float* iou_token = queries.data() + decoder_->iou_index() * dim_;
    std::copy_n(iou_head_.Run(iou_token, dim_, 1, &mlp), hypernetworks_.size(), task.iou);
    if (task.tokens != nullptr) std::copy_n(queries.data(), count * dim_, task.tokens);
    // [C / 8, masks rounded up]
    const std::int64_t width = nn::onednn::RoundUpColumns(task.last_mask - task.first_mask);
    AlignedVector<float> weights(dim_ / 8 * width, 0.0F);
    for (std::int64_t m = task.first_mask; m < task.last_mask; ++m) {
      const float* column = hypernetworks_[m].Run(iou_token + (1 + m) * dim_, dim_, 1, &mlp);
      for (std::int64_t c = 0; c < dim_ / 8; ++c) {
        weights[c * width + m - task.first_mask] = column[c];
      }
    }
    task.upscaling.weights = weights.data();
    upscaling_.Run(task.upscaling, &workspace->upscaling);
  }

  // The two-way transformer: `queries`, at first the tokens, become its answer; `tokens` are their
  // positions. Returns where the cells are afterwards.
  const float* RunTransformer(const AlignedVector<float>& tokens, const float* cells,
                              AlignedVector<float>* queries, Workspace* workspace) const {
    const std::int64_t size = static_cast<std::int64_t>(tokens.size()), count = size / dim_;
    float* q = queries->data();
    AlignedVector<float> with_positions(size), mlp;
    const auto add_positions = [&] {
      for (std::int64_t i = 0; i < size; ++i) with_positions[i] = q[i] + tokens[i];
      return with_positions.data();
    };
    ScoreColumns token_scores;
    AttendedCells attended;
    ImageToTokenAttention::Tokens prepared;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const TwoWayLayer& layer = layers_[i];
      if (i == 0) {  // has neither positions nor a residual
        layer.self_attn.Run(tokens.data(), tokens.data(), nullptr, count, q);
      } else {
        layer.self_attn.Run(add_positions(), q, q, count, q);
      }
      layer.token_to_image.Prepare(add_positions(), count, &token_scores);
      const ImageToTokenAttention* before = i == 0 ? nullptr : &layers_[i - 1].image_to_token;
      cells = PassCells(cells, before, prepared, token_scores, workspace, &attended);
      layer.token_to_image.Finish(attended, count, q);
      const float* more = layer.mlp.Run(q, dim_, count, &mlp);
      for (std::int64_t j = 0; j < size; ++j) q[j] += more[j];
      layer.mlp_norm.RunOnThisThread(q, count, q);
      layer.image_to_token.Prepare(add_positions(), q, count, &prepared);
    }
    final_token_to_image_.Prepare(add_positions(), count, &token_scores);
    cells = PassCells(cells, &layers_.back().image_to_token, prepared, token_scores, workspace,
                      &attended);
    final_token_to_image_.Finish(attended, count, q);
    return cells;
  }

  // Takes all cells through the attention `image_to_token` of the layer before, unless it is null,
  // and collects in `attended` what the tokens' `token_scores` make of the result. One pass over
  // memory for both: the tokens' queries don't depend on the cells' update. Returns where the cells
  // are afterwards.
  const float* PassCells(const float* cells, const ImageToTokenAttention* image_to_token,
                         const ImageToTokenAttention::Tokens& prepared,
                         const ScoreColumns& token_scores, Workspace* workspace,
                         AttendedCells* attended) const {
    workspace->cells.resize(cells_ * dim_);
    workspace->cell_scratch.resize(omp_get_max_threads());
    const std::int64_t columns = std::max(token_scores.columns, prepared.columns.columns);
    float* updated = workspace->cells.data();
    int threads = 1;
#pragma omp parallel
    {
      CellScratch& scratch = workspace->cell_scratch[omp_get_thread_num()];
      scratch.with_positions.resize(kCells * dim_);
      scratch.scores.resize(kCells * columns);
      scratch.attended.Clear(token_scores.columns, token_scores.count, dim_);
      float *with_positions = scratch.with_positions.data(), *scores = scratch.scores.data();
#pragma omp for schedule(static)
      for (std::int64_t first = 0; first < cells_; first += kCells) {
        const std::int64_t rows = std::min(kCells, cells_ - first);
        const float* block = cells + first * dim_;
        const auto add_positions = [&] {
          nn::onednn::AddRow(rows * dim_, block, positions_.data() + first * dim_, with_positions);
        };
        add_positions();
        if (image_to_token != nullptr) {
          float* result = updated + first * dim_;
          image_to_token->Run(prepared, {block, with_positions, rows}, scores, result);
          block = result;
          add_positions();
        }
        token_scores.Scores(with_positions, rows, dim_, scores);
        scratch.attended.Add(block, rows, dim_, scores);
      }
#pragma omp single nowait
      threads = omp_get_num_threads();
    }
    std::swap(*attended, workspace->cell_scratch[0].attended);
    for (int t = 1; t < threads; ++t) attended->Add(workspace->cell_scratch[t].attended, dim_);
    return image_to_token != nullptr ? updated : cells;
  }

  MaskDecoder decoder_;
  const std::int64_t dim_, grid_, cells_;
  const AlignedVector<float> own_tokens_;  // [own_count, C]
  const std::int64_t own_count_;
  const AlignedVector<float> positions_;  // [cells, C]
  std::vector<TwoWayLayer> layers_;
  const TokenToImageAttention final_token_to_image_;
  const SmallMlp iou_head_;
  std::vector<SmallMlp> hypernetworks_;
  const PackedUpscaling upscaling_;
  MaskDecoderHqImpl* const hq_;  // decoder_, if it is HQ-SAM's
  std::optional<PackedMaskFeature> feature_;
  std::vector<Workspace> workspaces_;  // of each thread
};

bool PackedMaskDecoder::Supports(const MaskDecoderConfig& config, std::int64_t dim) {
  // Rows of whole vectors, also where only a share of the channels is left.
  const std::int64_t internal = dim / config.attention_downsample;
  return config.num_heads == kDecoderHeads && dim % (2 * nn::onednn::kSmallProductColumns) == 0 &&
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
