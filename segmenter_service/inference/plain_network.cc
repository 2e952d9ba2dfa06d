// SamNetwork on the plain modules; on a CPU, the encoder's blocks in their packed form.
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "nn/state_dict.h"
#include "nn/threads.h"
#include "nn/torch_status.h"
#include "segmenter_service/inference/sam_network.h"
#include "segmenter_service/modeling/sam.h"
#include "segmenter_service/packed/packed_blocks.h"

namespace segmenter {
namespace {

std::vector<float> ToVector(const at::Tensor& tensor) {
  const at::Tensor host = tensor.to(at::kCPU, at::kFloat).contiguous();
  return {host.data_ptr<float>(), host.data_ptr<float>() + host.numel()};
}

// Prompts decoded at once: each takes some 60 MB in an official network.
constexpr std::size_t kMaxBatch = 16;

// Indices of prompts that have as many tokens as each other and so make one batch. Filling up with
// ignored points would make one batch of all, but those take part in attention and change answers.
std::vector<std::vector<std::size_t>> Batches(absl::Span<const Prompt> prompts) {
  std::map<std::pair<std::size_t, bool>, std::vector<std::size_t>> by_shape;
  std::vector<std::vector<std::size_t>> batches;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    std::vector<std::size_t>& batch =
        by_shape[{prompts[i].points.size(), prompts[i].box.has_value()}];
    batch.push_back(i);
    if (batch.size() == kMaxBatch) batches.push_back(std::exchange(batch, {}));
  }
  for (auto& [shape, batch] : by_shape) {
    if (!batch.empty()) batches.push_back(std::move(batch));
  }
  return batches;
}

class PlainNetwork final : public SamNetwork {
 public:
  // `blocks`: the encoder's, or null to run the plain ones.
  PlainNetwork(Sam sam, at::Device device, std::unique_ptr<PackedBlocks> blocks)
      : sam_(std::move(sam)), device_(device), packed_blocks_(std::move(blocks)) {
    sam_->eval();
    sam_->to(device_);
    at::NoGradGuard no_grad;
    positions_ = sam_->prompt_encoder->DensePositions();
  }

  const SamConfig& config() const override { return sam_->config; }

  absl::StatusOr<std::vector<float>> EncodeImage(absl::Span<const float> input,
                                                 const Yield& yield) override {
    return nn::CatchTorch("encode", [&]() -> absl::StatusOr<std::vector<float>> {
      at::NoGradGuard no_grad;
      const std::int64_t side = config().image_encoder.image_size;
      ImageEncoderViT& encoder = sam_->image_encoder;
      at::Tensor tokens = encoder->Begin(FromHost(input, {1, 3, side, side}));
      for (std::int64_t i = 0; i < encoder->depth(); ++i) {
        if (absl::Status status = yield(); !status.ok()) return status;
        tokens = RunBlock(i, tokens);
      }
      if (absl::Status status = yield(); !status.ok()) return status;
      return ToVector(encoder->Finish(tokens));
    });
  }

  absl::StatusOr<LowResMasks> DecodeMasks(absl::Span<const float> embedding,
                                          absl::Span<const Prompt> prompts,
                                          bool multimask_output) override {
    return nn::CatchTorch("decode", [&] {
      at::NoGradGuard no_grad;
      const std::int64_t grid = config().image_encoder.grid();
      const at::Tensor image = FromHost(embedding, {1, config().embed_dim, grid, grid});
      const std::int64_t count = static_cast<std::int64_t>(prompts.size());
      at::Tensor logits, ious;
      for (const std::vector<std::size_t>& members : Batches(prompts)) {
        const DecodedMasks decoded = DecodeBatch(image, prompts, members).Select(multimask_output);
        if (!logits.defined()) {
          const std::int64_t masks = decoded.logits.size(1), low = decoded.logits.size(2);
          logits = at::empty({count, masks, low, low}, decoded.logits.options());
          ious = at::empty({count, masks}, decoded.logits.options());
        }
        for (std::size_t i = 0; i < members.size(); ++i) {
          const std::int64_t row = static_cast<std::int64_t>(i);
          logits[static_cast<std::int64_t>(members[i])].copy_(decoded.logits[row]);
          ious[static_cast<std::int64_t>(members[i])].copy_(decoded.iou_predictions[row]);
        }
      }
      return LowResMasks{static_cast<int>(logits.size(1)), static_cast<int>(logits.size(2)),
                         ToVector(logits), ToVector(ious)};
    });
  }

  absl::Status WarmUp(int threads) override {
    nn::UseThreads(threads);
    return nn::CatchTorch("warm up", [&]() -> absl::Status {
      at::NoGradGuard no_grad;
      const ImageEncoderConfig& encoder = config().image_encoder;
      RunBlock(0, at::zeros({1, encoder.grid(), encoder.grid(), encoder.embed_dim}, device_));
      const std::vector<float> embedding(config().embed_dim * encoder.grid() * encoder.grid());
      Prompt prompt;
      prompt.points.push_back({{0, 0}, 1});
      return DecodeMasks(embedding, {&prompt, 1}, /*multimask_output=*/false).status();
    });
  }

 private:
  // Tokens [1, grid, grid, C]; may work in place.
  at::Tensor RunBlock(std::int64_t index, const at::Tensor& tokens) {
    if (packed_blocks_ == nullptr) return sam_->image_encoder->Block(index, tokens);
    const at::Tensor dense = tokens.contiguous();
    packed_blocks_->Run(index, dense.data_ptr<float>());
    return dense;
  }

  at::Tensor FromHost(absl::Span<const float> values, at::IntArrayRef shape) const {
    // Only read from; Torch has no const tensors.
    return at::from_blob(const_cast<float*>(values.data()), shape, at::kFloat).to(device_);
  }

  // All `members` have as many points and a box or none.
  DecodedMasks DecodeBatch(const at::Tensor& image, absl::Span<const Prompt> prompts,
                           const std::vector<std::size_t>& members) {
    const std::int64_t count = static_cast<std::int64_t>(members.size());
    const Prompt& first = prompts[members.front()];
    PromptEncoder& encoder = sam_->prompt_encoder;

    at::Tensor sparse =
        at::empty({count, 0, config().embed_dim}, at::TensorOptions().device(device_));
    if (!first.points.empty()) {
      std::vector<float> coords;
      std::vector<std::int64_t> labels;
      for (const std::size_t member : members) {
        for (const PromptPoint& point : prompts[member].points) {
          coords.insert(coords.end(), {point.at.x, point.at.y});
          labels.push_back(point.label);
        }
      }
      const std::int64_t points = static_cast<std::int64_t>(first.points.size());
      sparse =
          encoder->EmbedPoints(FromHost(coords, {count, points, 2}),
                               at::from_blob(labels.data(), {count, points}, at::kLong).to(device_),
                               /*pad=*/!first.box.has_value());
    }
    if (first.box) {
      std::vector<float> corners;
      for (const std::size_t member : members) {
        const vision::Box& box = *prompts[member].box;
        corners.insert(corners.end(), {box.x_min, box.y_min, box.x_max, box.y_max});
      }
      sparse = at::cat({sparse, encoder->EmbedBoxes(FromHost(corners, {count, 4}))}, 1);
    }
    return sam_->mask_decoder->forward(image, positions_, sparse, DenseOf(prompts, members));
  }

  at::Tensor DenseOf(absl::Span<const Prompt> prompts, const std::vector<std::size_t>& members) {
    PromptEncoder& encoder = sam_->prompt_encoder;
    const bool any = std::any_of(members.begin(), members.end(),
                                 [&](std::size_t i) { return !prompts[i].mask_logits.empty(); });
    if (!any) return encoder->NoMask();
    const std::int64_t grid = config().image_encoder.grid(), low = config().low_res_size();
    std::vector<at::Tensor> rows;
    for (const std::size_t member : members) {
      const std::vector<float>& mask = prompts[member].mask_logits;
      rows.push_back(mask.empty() ? encoder->NoMask().expand({1, -1, grid, grid})
                                  : encoder->EmbedMasks(FromHost(mask, {1, 1, low, low})));
    }
    return at::cat(rows);
  }

  Sam sam_;
  const at::Device device_;
  const std::unique_ptr<PackedBlocks> packed_blocks_;
  at::Tensor positions_;  // of the embedding's cells; constant, so computed once
};

}  // namespace

absl::StatusOr<std::unique_ptr<SamNetwork>> LoadNetwork(const checkpoint::StateDict& state_dict,
                                                        const NetworkOptions& options) {
  const bool bf16 = options.precision == "bf16";
  if (!bf16 && options.precision != "fp32") {
    return absl::InvalidArgumentError(
        absl::StrCat("--precision=", options.precision, ": must be fp32 or bf16"));
  }
  if (bf16 && (options.device != "cpu" || !nn::onednn::CpuHasBFloat16())) {
    return absl::FailedPreconditionError(
        "--precision=bf16 needs --device=cpu and a CPU with bf16 arithmetic (AVX512_BF16); use "
        "fp32");
  }
  const absl::StatusOr<SamConfig> config = InferConfig(state_dict);
  if (!config.ok()) return config.status();
  return nn::CatchTorch("load", [&]() -> absl::StatusOr<std::unique_ptr<SamNetwork>> {
    Sam sam(*config);
    if (absl::Status status = nn::LoadStateDict(state_dict, *sam, {.memory = nn::Memory::kBorrow});
        !status.ok()) {
      return status;
    }
    std::unique_ptr<PackedBlocks> blocks;
    if (options.device == "cpu") {
      blocks = std::make_unique<PackedBlocks>(
          *sam->image_encoder, config->image_encoder,
          bf16 ? nn::onednn::Precision::kBFloat16 : nn::onednn::Precision::kFloat32,
          options.threads > 0 ? options.threads : nn::AvailableCores());
    }
    return std::make_unique<PlainNetwork>(std::move(sam), at::Device(options.device),
                                          std::move(blocks));
  });
}

}  // namespace segmenter
