#include "segmenter_service/packed/packed_hiera.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "segmenter_service/packed/packed_layers.h"
#include "segmenter_service/packed/packed_mlp_block.h"
#include "segmenter_service/packed/window_attention.h"

namespace segmenter {
namespace {

using nn::onednn::Epilogue;
using nn::onednn::PackedLinear;

// MultiScaleBlock (modeling/hieradet.h).
template <typename T>
class HieraBlock {
 public:
  HieraBlock(const MultiScaleBlockImpl& block, const HieraConfig::Block& shape, int threads)
      : shape_(shape),
        in_tokens_(shape.grid * shape.grid),
        tokens_(shape.pool ? in_tokens_ / 4 : in_tokens_),
        norm1_(block.norm1),
        attention_({.grid = shape.grid,
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
  }

  at::Tensor Run(const at::Tensor& tokens, const Pause& pause) {
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
    const auto hidden = std::make_unique_for_overwrite<T[]>(mlp_.hidden_size());
    mlp_.Run(x, tokens_, normed.get(), hidden.get(), pause);
    return out.view({1, side, side, dim});
  }

 private:
  const HieraConfig::Block shape_;
  const std::int64_t in_tokens_, tokens_;
  const RowNorm norm1_;
  WindowAttention<T> attention_;
  const std::unique_ptr<PackedLinear> qkv_, proj_;
  const PackedMlpBlock<T> mlp_;
  std::unique_ptr<PackedLinear> shortcut_;  // where the width changes; else null
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

std::shared_ptr<EncoderSteps> PackHiera(Sam2 model, nn::onednn::Precision precision, int threads) {
  return nn::onednn::VisitType(
      precision, [&]<typename T>(std::type_identity<T>) -> std::shared_ptr<EncoderSteps> {
        return std::make_shared<PackedHiera<T>>(std::move(model), threads);
      });
}

}  // namespace segmenter
