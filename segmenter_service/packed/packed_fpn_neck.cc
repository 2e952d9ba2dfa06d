#include "segmenter_service/packed/packed_fpn_neck.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>

#include "segmenter_service/modeling/sam2_mask_decoder.h"
#include "segmenter_service/packed/packed_conv.h"
#include "segmenter_service/packed/packed_layers.h"

namespace segmenter {
namespace {

using nn::onednn::Epilogue;

// A 1x1 convolution in double: y = weight · x + bias.
struct Affine {
  explicit Affine(const nn::Conv2d& conv)
      : weight(conv->weight.detach().flatten(1).to(at::kDouble)),
        bias(conv->bias.detach().to(at::kDouble)) {}

  at::Tensor weight;  // [out, in]
  at::Tensor bias;    // [out]
};

Affine Compose(const Affine& after, Affine before) {
  before.bias = after.weight.mv(before.bias) + after.bias;
  before.weight = after.weight.mm(before.weight);
  return before;
}

}  // namespace

template <typename T>
PackedFpnNeck<T>::PackedFpnNeck(const Sam2& model, int threads) : dim_(model->config.embed_dim) {
  const auto& decoder = dynamic_cast<const Sam2MaskDecoderImpl&>(*model->mask_decoder.ptr());
  const std::vector<nn::Conv2d>& convs = model->neck->convs;  // the coarsest level's first
  std::vector<Affine> affines = {Compose(Affine(decoder.conv_s0), Affine(convs.at(3))),
                                 Compose(Affine(decoder.conv_s1), Affine(convs.at(2))),
                                 Affine(convs.at(1)), Affine(convs.at(0))};
  affines[2].bias += model->no_mem_embed.detach().flatten().to(at::kDouble);
  std::int64_t side = model->config.image_encoder.image_size / HieraConfig::kPatchStride;
  for (std::size_t i = 0; i < affines.size(); ++i, side /= 2) {
    linears_.push_back(MakeLinear<T>(affines[i].weight.to(at::kFloat),
                                     affines[i].bias.to(at::kFloat),
                                     {.rows = side * side,
                                      .epilogue = i == 2 ? Epilogue::kAddToOutput : Epilogue::kNone,
                                      .threads = threads}));
  }
}

template <typename T>
EncodedImage PackedFpnNeck<T>::Run(const std::vector<at::Tensor>& levels) {
  // fpn_top_down_levels [2, 3]: level 2 alone gets something from above.
  const std::int64_t side = levels.at(2).size(2), above = levels.at(3).size(2);
  coarse_.resize(above * above * dim_);
  Multiply(levels[3], linears_[3].get(), coarse_.data());
  rows_.resize(side * side * dim_);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < side * side; ++i) {
    const std::int64_t from = i / side * above / side * above + i % side * above / side;
    std::copy_n(coarse_.data() + from * dim_, dim_, rows_.data() + i * dim_);
  }
  return {.embedding = MultiplyToPlanes(levels[2], linears_[2].get(), dim_),
          .high_res = {MultiplyToPlanes(levels[0], linears_[0].get(), dim_ / 8),
                       MultiplyToPlanes(levels[1], linears_[1].get(), dim_ / 4)}};
}

template <typename T>
void PackedFpnNeck<T>::Multiply(const at::Tensor& level, nn::onednn::PackedLinear* linear,
                                float* rows) {
  const at::Tensor tokens = level.permute({0, 2, 3, 1}).contiguous();  // as it lies already
  linear->Run(Converted(tokens.data_ptr<float>(), tokens.numel(), &converted_), rows);
}

template <typename T>
at::Tensor PackedFpnNeck<T>::MultiplyToPlanes(const at::Tensor& level,
                                              nn::onednn::PackedLinear* linear,
                                              std::int64_t columns) {
  const std::int64_t pixels = level.size(2) * level.size(3);
  rows_.resize(pixels * columns);
  Multiply(level, linear, rows_.data());
  at::Tensor map = at::empty({1, columns, level.size(2), level.size(3)});
  float* planes = map.data_ptr<float>();
#pragma omp parallel for schedule(static)
  for (std::int64_t first = 0; first < pixels; first += kPixelsTogether) {
    RowsToPlanes(rows_.data() + first * columns, pixels, columns, first,
                 std::min(kPixelsTogether, pixels - first), planes);
  }
  return map;
}

template class PackedFpnNeck<float>;
template class PackedFpnNeck<nn::onednn::BFloat16Bits>;

}  // namespace segmenter
