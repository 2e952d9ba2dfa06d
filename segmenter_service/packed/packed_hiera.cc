#include "segmenter_service/packed/packed_hiera.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "segmenter_service/packed/packed_layers.h"
#include "segmenter_service/packed/window_attention.h"

namespace segmenter {
namespace {

using nn::onednn::BFloat16Bits;
using nn::onednn::Epilogue;
using nn::onednn::PackedLinear;
using nn::onednn::Precision;

// MultiScaleBlock.
template <typename T>
class HieraBlock {
 public:
  HieraBlock(const MultiScaleBlockImpl& block, const HieraConfig::Block& shape, int threads)
      : shape_(shape),
        in_tokens_(shape.grid * shape.grid),
        tokens_(shape.pool ? in_tokens_ / 4 : in_tokens_),
        mlp_rows_(DivisorUpTo(tokens_, kTokensPerThread * threads)),
        norm1_(block.norm1),
        norm2_(block.norm2),
        attention_({.grid = shape.grid,
                    .window = shape.window,
                    .heads = shape.num_heads,
                    .head_dim = shape.dim_out / shape.num_heads,
                    .pool = shape.pool},
                   FromFloats<T>(block.attn->qkv->bias), {}),
        qkv_(MakeLinear<T>(block.attn->qkv, in_tokens_, kPrecisionOf<T>, Epilogue::kNone, threads)),
        proj_(MakeLinear<T>(block.attn->proj, tokens_, Precision::kFloat32, Epilogue::kAddToOutput,
                            threads)),
        lin1_(MakeLinear<T>(block.mlp->lin1, mlp_rows_, kPrecisionOf<T>, Epilogue::kGelu, threads)),
        lin2_(MakeLinear<T>(block.mlp->lin2, mlp_rows_, Precision::kFloat32, Epilogue::kAddToOutput,
                            threads)),
        hidden_width_(block.mlp->lin1->weight.size(0)) {
    if (shape.pool) {
      shortcut_ =
          MakeLinear<T>(block.proj, in_tokens_, Precision::kFloat32, Epilogue::kNone, threads);
    }
  }

  at::Tensor Run(const at::Tensor& tokens, const Pause& pause) const {
    const std::int64_t dim = shape_.dim_out, side = shape_.pool ? shape_.grid / 2 : shape_.grid;
    const auto normed =
        std::make_unique_for_overwrite<T[]>(std::max(in_tokens_ * shape_.dim_in, tokens_ * dim));
    const auto qkv = std::make_unique_for_overwrite<T[]>(in_tokens_ * 3 * dim);
    norm1_.Run(tokens.data_ptr<float>(), in_tokens_, normed.get());
    qkv_->Run(normed.get(), qkv.get());
    if (pause) pause();

    at::Tensor out = tokens;
    if (shape_.pool) {
      // The shortcut starts after the norm, since its width changes.
      const at::Tensor wide = at::empty({1, shape_.grid, shape_.grid, dim});
      shortcut_->Run(normed.get(), wide.data_ptr<float>());
      out = at::max_pool2d(wide.permute({0, 3, 1, 2}), {2, 2}, {2, 2})
                .permute({0, 2, 3, 1})
                .contiguous();
    }
    attention_.Run(qkv.get(), normed.get());
    if (pause) pause();
    float* x = out.data_ptr<float>();
    proj_->Run(normed.get(), x);
    const auto hidden = std::make_unique_for_overwrite<T[]>(mlp_rows_ * hidden_width_);
    for (std::int64_t first = 0; first < tokens_; first += mlp_rows_) {
      if (pause) pause();
      float* part = x + first * dim;
      norm2_.Run(part, mlp_rows_, normed.get());
      lin1_->Run(normed.get(), hidden.get());
      lin2_->Run(hidden.get(), part);
    }
    return out.view({1, side, side, dim});
  }

 private:
  const HieraConfig::Block shape_;
  const std::int64_t in_tokens_, tokens_, mlp_rows_;
  const RowNorm norm1_, norm2_;
  mutable WindowAttention<T> attention_;
  const std::unique_ptr<PackedLinear> qkv_, proj_, lin1_, lin2_;
  std::unique_ptr<PackedLinear> shortcut_;
  const std::int64_t hidden_width_;
};

template <typename T>
class PackedHiera final : public EncoderSteps {
 public:
  PackedHiera(Sam2 model, int threads) : model_(std::move(model)) {
    const std::vector<HieraConfig::Block> shapes = model_->config.image_encoder.Blocks();
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      blocks_.push_back(std::make_unique<HieraBlock<T>>(
          model_->trunk->blocks->at<MultiScaleBlockImpl>(i), shapes[i], threads));
    }
  }

  std::int64_t step_count() const override { return model_->step_count(); }
  at::Tensor Begin(const at::Tensor& input) override { return model_->Begin(input).contiguous(); }
  at::Tensor Step(std::int64_t index, const at::Tensor& tokens, std::vector<at::Tensor>* levels,
                  const Pause& pause = nullptr) override {
    at::Tensor out = blocks_[static_cast<std::size_t>(index)]->Run(tokens, pause);
    // The next block makes a new map, since it changes the width: this one stays as it is.
    if (model_->trunk->EndsStage(index)) levels->push_back(out.permute({0, 3, 1, 2}));
    return out;
  }
  EncodedImage Finish(const at::Tensor& tokens, std::vector<at::Tensor> levels) override {
    return model_->Finish(tokens, std::move(levels));
  }

 private:
  Sam2 model_;
  std::vector<std::unique_ptr<HieraBlock<T>>> blocks_;
};

}  // namespace

std::shared_ptr<EncoderSteps> PackHiera(Sam2 model, Precision precision, int threads) {
  if (precision == Precision::kFloat32) {
    return std::make_shared<PackedHiera<float>>(std::move(model), threads);
  }
  return std::make_shared<PackedHiera<BFloat16Bits>>(std::move(model), threads);
}

}  // namespace segmenter
