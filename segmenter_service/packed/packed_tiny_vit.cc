#include "segmenter_service/packed/packed_tiny_vit.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "nn/batch_norm_fold.h"
#include "nn/onednn/aligned.h"
#include "nn/onednn/depthwise.h"
#include "nn/onednn/graph.h"
#include "nn/onednn/matmul.h"
#include "segmenter_service/packed/packed_layers.h"
#include "segmenter_service/packed/packed_mlp_block.h"
#include "segmenter_service/packed/packed_neck.h"
#include "segmenter_service/packed/window_attention.h"

namespace segmenter {
namespace {

using nn::onednn::AlignedVector;
using nn::onednn::Depthwise3x3;
using nn::onednn::Epilogue;
using nn::onednn::PackedLinear;

nn::FoldedConv Fold(const ConvNorm& module) { return nn::FoldBatchNorm(*module->c, *module->bn); }

// Maps on their way through the encoder. Those that nobody holds any more are taken again: the
// allocator would give their megabytes back to the kernel, which clears them page by page.
class Maps {
 public:
  // [1, height + 1, width, channels], unset but for the last row.
  at::Tensor New(std::int64_t height, std::int64_t width, std::int64_t channels) {
    const std::int64_t shape[] = {1, height + 1, width, channels};
    const auto unused = std::find_if(maps_.begin(), maps_.end(), [&](const at::Tensor& map) {
      return map.use_count() == 1 && map.sizes() == at::IntArrayRef(shape);
    });
    if (unused != maps_.end()) return *unused;
    maps_.push_back(at::empty(shape));
    maps_.back().select(1, height).zero_();
    return maps_.back();
  }

 private:
  std::vector<at::Tensor> maps_;
};

// What all layers are made with.
struct Shape2d {
  std::int64_t height, width;
  int threads;
  std::shared_ptr<Maps> maps;
};

// ConvTriple (modeling/tiny_vit_sam.h): MbConv, which adds its input and applies GELU once more, or
// PatchMerging.
//
// Rows of the input pass in strips. The first convolution runs one row ahead of the others, and the
// last two rows that it made move to the front for the next strip.
template <typename T>
class PackedConvTriple {
 public:
  // `residual`: MbConv's addition.
  PackedConvTriple(const ConvTripleImpl& triple, bool residual, const Shape2d& shape)
      : maps_(shape.maps),
        height_(shape.height),
        width_(shape.width),
        in_(triple.conv1->c->options.in_channels),
        hidden_(triple.conv1->c->options.out_channels),
        out_(triple.conv3->c->options.out_channels),
        residual_(residual),
        strip_(DivisorUpTo(height_ / 2, std::max<std::int64_t>(
                                            1, kTokensPerThread * shape.threads / width_ / 2)) *
               2),
        depthwise_(Fold(triple.conv2).weight, Fold(triple.conv2).bias,
                   triple.conv2->c->options.stride, /*gelu=*/true),
        rows_((strip_ + 2) * width_ * hidden_),
        filtered_(strip_ * width_ * hidden_) {
    const nn::FoldedConv wide = Fold(triple.conv1), narrow = Fold(triple.conv3);
    const auto widen = [&](std::int64_t rows) {
      return MakeLinear<T>(wide.weight.flatten(1), wide.bias,
                           {.rows = rows * width_,
                            .output_type = kPrecisionOf<T>,
                            .epilogue = Epilogue::kGelu,
                            .threads = shape.threads});
    };
    first_ = widen(1);
    widen_ = widen(strip_);
    const std::int64_t stride = depthwise_.stride();
    narrow_ = MakeLinear<T>(narrow.weight.flatten(1), narrow.bias,
                            {.rows = strip_ / stride * (width_ / stride),
                             .epilogue = residual ? Epilogue::kAddToOutput : Epilogue::kNone,
                             .threads = shape.threads});
  }

  at::Tensor Run(const at::Tensor& tokens, const Pause& pause) {
    const std::int64_t stride = depthwise_.stride();
    const std::int64_t out_width = width_ / stride, row = width_ * hidden_;
    const float* in = tokens.data_ptr<float>();
    at::Tensor result = maps_->New(height_ / stride, out_width, out_);
    float* out = result.data_ptr<float>();
    // rows_[i] is row `start - 1 + i` of the first convolution's output.
    Widen(*first_, in, 1, rows_.data() + row);
    for (std::int64_t start = 0; start < height_; start += strip_) {
      if (pause) pause();
      if (start > 0) std::memmove(rows_.data(), rows_.data() + strip_ * row, 2 * row * sizeof(T));
      Widen(*widen_, in + (start + 1) * width_ * in_, strip_, rows_.data() + 2 * row);
      const std::int64_t out_rows = strip_ / stride;
#pragma omp parallel for schedule(static)
      for (std::int64_t r = 0; r < out_rows; ++r) {
        const std::int64_t y = start + r * stride;
        const T* here = rows_.data() + (r * stride + 1) * row;
        depthwise_.Row(y > 0 ? here - row : nullptr, here, y + 1 < height_ ? here + row : nullptr,
                       width_, filtered_.data() + r * out_width * hidden_);
      }
      const std::int64_t count = out_rows * out_width * out_;
      float* part = out + start / stride * out_width * out_;
      if (residual_) std::memcpy(part, in + start * width_ * in_, count * sizeof(float));
      narrow_->Run(filtered_.data(), part);
      if (!residual_) continue;
#pragma omp parallel for schedule(static)
      for (std::int64_t r = 0; r < out_rows; ++r) {
        nn::onednn::GeluRow(out_width * out_, part + r * out_width * out_);
      }
    }
    return result;
  }

 private:
  void Widen(PackedLinear& layer, const float* in, std::int64_t rows, T* out) {
    layer.Run(Converted(in, rows * width_ * in_, &converted_), out);
  }

  const std::shared_ptr<Maps> maps_;
  const std::int64_t height_, width_, in_, hidden_, out_;
  const bool residual_;
  const std::int64_t strip_;  // rows of the input at a time; even, divides the height
  const Depthwise3x3 depthwise_;
  std::unique_ptr<PackedLinear> first_, widen_, narrow_;
  AlignedVector<T> rows_, filtered_, converted_;
};

// TinyViTBlock (modeling/tiny_vit_sam.h).
template <typename T>
class AttentionBlock {
 public:
  AttentionBlock(TinyViTBlock block, const TinyViTConfig::Layer& layer, const Shape2d& shape)
      : maps_(shape.maps),
        height_(shape.height),
        width_(shape.width),
        dim_(layer.dim),
        attention_({.grid = height_,
                    .window = layer.window,
                    .heads = layer.num_heads,
                    .head_dim = layer.dim / layer.num_heads,
                    .order = WindowAttentionShape::Order::kByHead},
                   PadToken(*block->attn), ToVector(block->attn->BiasTable())),
        norm1_(block->attn->norm),
        local_conv_(Fold(block->local_conv).weight, Fold(block->local_conv).bias, /*stride=*/1,
                    /*gelu=*/false),
        qkv_layer_(MakeLinear<T>(
            block->attn->qkv,
            {.rows = height_ * width_, .output_type = kPrecisionOf<T>, .threads = shape.threads})),
        proj_(MakeLinear<T>(block->attn->proj, {.rows = height_ * width_,
                                                .epilogue = Epilogue::kAddToOutput,
                                                .threads = shape.threads})),
        mlp_(block->mlp->norm, block->mlp->fc1, block->mlp->fc2,
             DivisorUpTo(height_ * width_, kTokensPerThread * shape.threads), shape.threads),
        normed_(height_ * width_ * dim_),
        qkv_(height_ * width_ * 3 * dim_),
        hidden_(mlp_.hidden_size()) {}

  at::Tensor Run(const at::Tensor& tokens, const Pause& pause) {
    const std::int64_t count = height_ * width_, row = width_ * dim_;
    float* x = tokens.data_ptr<float>();
    norm1_.Run(x, count, normed_.data());
    qkv_layer_->Run(normed_.data(), qkv_.data());
    if (pause) pause();
    attention_.Run(qkv_.data(), normed_.data());
    if (pause) pause();
    proj_->Run(normed_.data(), x);

    at::Tensor result = maps_->New(height_, width_, dim_);
    float* y = result.data_ptr<float>();
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < height_; ++r) {
      local_conv_.Row<float>(r > 0 ? x + (r - 1) * row : nullptr, x + r * row,
                             r + 1 < height_ ? x + (r + 1) * row : nullptr, width_, y + r * row);
    }
    mlp_.Run(y, count, normed_.data(), hidden_.data(), pause);
    return result;
  }

 private:
  // A pad token is zero before the norm, so its query, key and value are constant.
  static AlignedVector<T> PadToken(const TinyAttentionImpl& attention) {
    const nn::Linear& qkv = attention.qkv;
    return FromFloats<T>(at::mv(qkv->weight, attention.norm->bias) + qkv->bias);
  }

  const std::shared_ptr<Maps> maps_;
  const std::int64_t height_, width_, dim_;
  WindowAttention<T> attention_;
  const RowNorm norm1_;
  const Depthwise3x3 local_conv_;
  const std::unique_ptr<PackedLinear> qkv_layer_, proj_;
  const PackedMlpBlock<T> mlp_;
  AlignedVector<T> normed_, qkv_, hidden_;
};

// Two convolutions of stride 2.
absl::StatusOr<std::unique_ptr<nn::onednn::Program>> CompilePatches(
    const TinyPatchEmbed& patches, int image_size, const nn::onednn::CompileOptions& options) {
  nn::onednn::Graph graph;
  const nn::FoldedConv conv1 = Fold(patches->conv1), conv2 = Fold(patches->conv2);
  nn::onednn::Value x = graph.Input(3, image_size, image_size);
  x = graph.Conv(x, conv1.weight, conv1.bias,
                 {.stride = 2, .activation = nn::onednn::Activation::kGelu});
  x = graph.Conv(x, conv2.weight, conv2.bias, {.stride = 2});
  graph.Output(x);
  return graph.Compile(options);
}

template <typename T>
class PackedTinyViT final : public EncoderSteps {
 public:
  PackedTinyViT(TinyViT encoder, const TinyViTConfig& config, int threads,
                std::unique_ptr<nn::onednn::Program> patches)
      : encoder_(std::move(encoder)),
        patches_(std::move(patches)),
        neck_(encoder_->neck, config.grid(), kPrecisionOf<T>, threads) {
    std::int64_t side = config.image_size / 4;
    std::int64_t layer = 0;
    for (std::int64_t i = 0; i < encoder_->step_count(); ++i) {
      const Shape2d shape{side, side, threads, maps_};
      const TinyViTImpl::Part& part = encoder_->part(i);
      if (const auto* conv = std::get_if<MbConv>(&part)) {
        steps_.push_back(std::make_unique<PackedConvTriple<T>>(**conv, /*residual=*/true, shape));
      } else if (const auto* merging = std::get_if<PatchMerging>(&part)) {
        steps_.push_back(
            std::make_unique<PackedConvTriple<T>>(**merging, /*residual=*/false, shape));
        side /= config.layers[layer++].stride;
      } else {
        steps_.push_back(std::make_unique<AttentionBlock<T>>(std::get<TinyViTBlock>(part),
                                                             config.layers[layer], shape));
      }
    }
  }

  std::int64_t step_count() const override { return static_cast<std::int64_t>(steps_.size()); }

  at::Tensor Begin(const at::Tensor& input) override {
    patches_->Run(input.data_ptr<float>());
    const nn::onednn::Program::Output patches = patches_->output(0);
    at::Tensor tokens = maps_->New(patches.height, patches.width, patches.channels);
    std::memcpy(tokens.data_ptr<float>(), patches.data,
                sizeof(float) * patches.height * patches.width * patches.channels);
    return tokens;
  }

  at::Tensor Step(std::int64_t index, const at::Tensor& tokens, std::vector<at::Tensor>* levels,
                  const Pause& pause = nullptr) override {
    at::Tensor out = std::visit([&](auto& step) { return step->Run(tokens, pause); },
                                steps_[static_cast<std::size_t>(index)]);
    if (levels != nullptr && encoder_->IsLevel(index)) levels->push_back(ToMap(out));
    return out;
  }

  EncodedImage Finish(const at::Tensor& tokens, std::vector<at::Tensor> levels) override {
    return {neck_.Run(tokens), std::move(levels)};
  }

 private:
  // As the plain encoder's, without the row that is there to be read past the end.
  static at::Tensor ToMap(const at::Tensor& tokens) {
    return tokens.slice(1, 0, tokens.size(1) - 1).permute({0, 3, 1, 2}).contiguous();
  }

  using AnyStep =
      std::variant<std::unique_ptr<PackedConvTriple<T>>, std::unique_ptr<AttentionBlock<T>>>;

  TinyViT encoder_;
  const std::unique_ptr<nn::onednn::Program> patches_;
  const std::shared_ptr<Maps> maps_ = std::make_shared<Maps>();
  std::vector<AnyStep> steps_;
  PackedNeck neck_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<EncoderSteps>> PackTinyViT(TinyViT encoder,
                                                          const TinyViTConfig& config,
                                                          nn::onednn::Precision precision,
                                                          int threads) {
  auto patches = CompilePatches(encoder->patch_embed, static_cast<int>(config.image_size),
                                {.precision = precision});
  if (!patches.ok()) return patches.status();
  return nn::onednn::VisitType(
      precision, [&]<typename T>(std::type_identity<T>) -> std::shared_ptr<EncoderSteps> {
        return std::make_shared<PackedTinyViT<T>>(std::move(encoder), config, threads,
                                                  *std::move(patches));
      });
}

}  // namespace segmenter
