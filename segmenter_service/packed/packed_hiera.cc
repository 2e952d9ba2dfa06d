#include "segmenter_service/packed/packed_hiera.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <memory>
#include <type_traits>
#include <vector>

#include "nn/onednn/aligned.h"
#include "segmenter_service/packed/packed_fpn_neck.h"
#include "segmenter_service/packed/packed_layers.h"
#include "segmenter_service/packed/packed_mlp_block.h"
#include "segmenter_service/packed/packed_patches.h"
#include "segmenter_service/packed/window_attention.h"

namespace segmenter {
namespace {

using nn::onednn::AlignedVector;
using nn::onednn::Epilogue;
using nn::onednn::PackedLinear;

// Tokens of a strip, so that what they become between two layers stays in the cache.
constexpr std::int64_t kStripTokens = 2048;

// Rows of the map that go through the whole block together: of whole windows, and as many strips as
// fill the map. All of it if windows don't divide it, or if there are none.
std::int64_t StripRows(const HieraConfig::Block& shape) {
  if (shape.window == 0 || shape.grid % shape.window != 0) return shape.grid;
  const std::int64_t windows = kStripTokens / (shape.grid * shape.window);
  return shape.window * DivisorUpTo(shape.grid / shape.window, std::max<std::int64_t>(1, windows));
}

// Between the layers of a block; shared by all blocks, which run one after the other.
template <typename T>
struct Workspace {
  AlignedVector<T> normed, qkv, hidden;
  AlignedVector<float> wide;

  void Reserve(std::size_t normed_size, std::size_t qkv_size, std::size_t hidden_size,
               std::size_t wide_size) {
    normed.resize(std::max(normed.size(), normed_size));
    qkv.resize(std::max(qkv.size(), qkv_size));
    hidden.resize(std::max(hidden.size(), hidden_size));
    wide.resize(std::max(wide.size(), wide_size));
  }
};

// MultiScaleBlock (modeling/hieradet.h).
template <typename T>
class HieraBlock {
 public:
  HieraBlock(const MultiScaleBlockImpl& block, const HieraConfig::Block& shape, int threads,
             Workspace<T>* workspace)
      : shape_(shape),
        rows_(StripRows(shape)),
        in_tokens_(rows_ * shape.grid),
        tokens_(shape.pool ? in_tokens_ / 4 : in_tokens_),
        workspace_(workspace),
        norm1_(block.norm1),
        attention_({.grid = shape.grid,
                    .rows = rows_,
                    .window = shape.window,
                    .heads = shape.num_heads,
                    .head_dim = shape.dim_out / shape.num_heads,
                    .pool = shape.pool},
                   FromFloats<T>(block.attn->qkv->bias), {}),
        qkv_(MakeLinear<T>(
            block.attn->qkv,
            {.rows = in_tokens_, .output_type = kPrecisionOf<T>, .threads = threads})),
        proj_(MakeLinear<T>(
            block.attn->proj,
            {.rows = tokens_, .epilogue = Epilogue::kAddToOutput, .threads = threads})),
        mlp_(block.norm2, block.mlp->lin1, block.mlp->lin2,
             DivisorUpTo(tokens_, kTokensPerThread * threads), threads) {
    if (shape.pool) {
      shortcut_ = MakeLinear<T>(block.proj, {.rows = in_tokens_, .threads = threads});
    }
    workspace->Reserve(std::max(in_tokens_ * shape.dim_in, tokens_ * shape.dim_out),
                       in_tokens_ * 3 * shape.dim_out, mlp_.hidden_size(),
                       shape.pool ? in_tokens_ * shape.dim_out : 0);
  }

  at::Tensor Run(const at::Tensor& tokens, const Pause& pause) {
    const std::int64_t dim = shape_.dim_out, side = shape_.pool ? shape_.grid / 2 : shape_.grid;
    const at::Tensor out = shape_.pool ? at::empty({1, side, side, dim}) : tokens;
    float* x = tokens.data_ptr<float>();
    float* y = out.data_ptr<float>();
    for (std::int64_t top = 0; top < shape_.grid; top += rows_) {
      RunStrip(x, y, pause);
      x += in_tokens_ * shape_.dim_in;
      y += tokens_ * dim;
    }
    return out;
  }

 private:
  void RunStrip(const float* tokens, float* out, const Pause& pause) {
    T* normed = workspace_->normed.data();
    T* qkv = workspace_->qkv.data();
    norm1_.Run(tokens, in_tokens_, normed);
    qkv_->Run(normed, qkv);
    if (pause) pause();
    if (shape_.pool) {
      // The shortcut starts after the norm, since its width changes.
      shortcut_->Run(normed, workspace_->wide.data());
      PoolShortcut(out);
    }
    attention_.Run(qkv, normed);
    if (pause) pause();
    proj_->Run(normed, out);
    mlp_.Run(out, tokens_, normed, workspace_->hidden.data(), pause);
  }

  // The largest of each 2x2 of the shortcut's tokens.
  void PoolShortcut(float* out) const {
    const std::int64_t dim = shape_.dim_out, line = shape_.grid * dim, side = shape_.grid / 2;
    const float* wide = workspace_->wide.data();
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < tokens_; ++i) {
      const float* in = wide + i / side * 2 * line + i % side * 2 * dim;
      float* largest = out + i * dim;
      for (std::int64_t c = 0; c < dim; ++c) {
        largest[c] =
            std::max(std::max(in[c], in[c + dim]), std::max(in[c + line], in[c + line + dim]));
      }
    }
  }

  const HieraConfig::Block shape_;
  const std::int64_t rows_;                // of a strip
  const std::int64_t in_tokens_, tokens_;  // of a strip
  Workspace<T>* const workspace_;
  const RowNorm norm1_;
  WindowAttention<T> attention_;
  const std::unique_ptr<PackedLinear> qkv_, proj_;
  const PackedMlpBlock<T> mlp_;
  std::unique_ptr<PackedLinear> shortcut_;  // where the width changes; else null
};

template <typename T>
class PackedHiera final : public EncoderSteps {
 public:
  PackedHiera(const Sam2& model, int threads)
      : patches_(model->trunk->patch_embed->proj,
                 model->trunk->Positions(model->config.image_encoder.image_size /
                                         HieraConfig::kPatchStride),
                 model->config.image_encoder.image_size, threads),
        shapes_(model->config.image_encoder.Blocks()),
        neck_(model, threads) {
    for (std::size_t i = 0; i < shapes_.size(); ++i) {
      blocks_.push_back(std::make_unique<HieraBlock<T>>(
          model->trunk->blocks->at<MultiScaleBlockImpl>(i), shapes_[i], threads, &workspace_));
    }
  }

  std::int64_t step_count() const override { return static_cast<std::int64_t>(blocks_.size()); }
  at::Tensor Begin(const at::Tensor& input) override { return patches_.Run(input); }
  at::Tensor Step(std::int64_t index, const at::Tensor& tokens, std::vector<at::Tensor>* levels,
                  const Pause& pause = nullptr) override {
    at::Tensor out = blocks_[static_cast<std::size_t>(index)]->Run(tokens, pause);
    // The next block makes a new map, since it changes the width: this one stays as it is.
    if (shapes_[static_cast<std::size_t>(index)].ends_stage) {
      levels->push_back(out.permute({0, 3, 1, 2}));
    }
    return out;
  }
  EncodedImage Finish(const at::Tensor&, std::vector<at::Tensor> levels) override {
    return neck_.Run(levels);
  }

 private:
  PackedPatches<T> patches_;
  const std::vector<HieraConfig::Block> shapes_;
  Workspace<T> workspace_;
  std::vector<std::unique_ptr<HieraBlock<T>>> blocks_;
  PackedFpnNeck<T> neck_;
};

}  // namespace

std::shared_ptr<EncoderSteps> PackHiera(const Sam2& model, nn::onednn::Precision precision,
                                        int threads) {
  const at::NoGradGuard no_grad;
  return nn::onednn::VisitType(
      precision, [&]<typename T>(std::type_identity<T>) -> std::shared_ptr<EncoderSteps> {
        return std::make_shared<PackedHiera<T>>(model, threads);
      });
}

}  // namespace segmenter
