#include "segmenter_service/inference/sam_network.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <absl/cleanup/cleanup.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "checkpoint/content_hash.h"
#include "nn/compute_thread.h"
#include "nn/layers.h"
#include "nn/onednn/arithmetic_class.h"
#include "nn/onednn/cpu.h"
#include "nn/state_dict.h"
#include "nn/threads.h"
#include "nn/torch_status.h"
#include "segmenter_service/inference/family.h"
#include "segmenter_service/packed/packed_mask_decoder.h"
#include "serving/cpu.h"

namespace segmenter {
namespace {

at::ScalarType TypeOf(const FeatureShape& shape) {
  return shape.precision == FeaturePrecision::kFloat32 ? at::kFloat : at::kBFloat16;
}

// From [1, C, H, W].
FeatureMap ToMap(const at::Tensor& tensor, const FeatureShape& shape) {
  const at::Tensor host = tensor.to(at::kCPU, TypeOf(shape)).contiguous();
  TORCH_CHECK(host.nbytes() == shape.bytes(), "a feature map of another shape than announced");
  const auto* data = static_cast<const std::byte*>(host.data_ptr());
  return {shape, {data, data + shape.bytes()}};
}

// Copies `values`, on the CPU, to row `row` of `rows`, which are as long as it has numbers.
void ToHost(const at::Tensor& values, std::size_t row, std::vector<float>* rows) {
  at::from_blob(rows->data() + row * values.numel(), values.sizes(), at::kFloat).copy_(values);
}

// Prompts that are decoded at once: each takes some 60 MB in an official network.
constexpr std::size_t kMaxBatch = 16;

// Batches of prompts, as their indices: all prompts of one batch have the same number of tokens.
// Filling up with ignored points would make one batch of all, but ignored points take part in
// attention and so change the masks.
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

// An encoder that networks may have in common, all used by one thread at a time. Between its steps
// all that it works on is in the tokens; within one, in buffers of its own, and there another
// network's turn may come (`pause`).
struct Encoder {
  const std::shared_ptr<EncoderSteps> steps;
  bool is_stepping = false;

  at::Tensor Step(std::int64_t index, const at::Tensor& tokens, std::vector<at::Tensor>* levels,
                  const Pause& pause = nullptr) {
    is_stepping = true;
    const absl::Cleanup stepped = [this] { is_stepping = false; };
    return steps->Step(index, tokens, levels, pause);
  }
};

class FamilyNetwork final : public SamNetwork {
 public:
  // `encoder`: the model's own or its packed form.
  FamilyNetwork(ModelParts model, at::Device device, std::shared_ptr<Encoder> encoder, int threads)
      : model_(std::move(model)), device_(device), encoder_(std::move(encoder)), threads_(threads) {
    model_.weights->eval();
    model_.weights->to(device_);
    at::NoGradGuard no_grad;
    positions_ = model_.prompt_encoder->DensePositions();
    if (device_.is_cpu() &&
        PackedMaskDecoder::Supports(model_.mask_decoder->config, positions_.size(1))) {
      packed_decoder_.emplace(model_.mask_decoder, positions_, threads);
    }
  }

  const NetworkSpec& spec() const override { return model_.spec; }

  absl::StatusOr<Embedding> EncodeImage(absl::Span<const float> input, const Yield& yield,
                                        const Pause& pause = nullptr) override {
    return nn::CatchTorch("encode", [&]() -> absl::StatusOr<Embedding> {
      at::NoGradGuard no_grad;
      MaskDecoder& decoder = model_.mask_decoder;
      std::vector<at::Tensor> levels;
      EncoderSteps& steps = *encoder_->steps;
      at::Tensor tokens = steps.Begin(FromHost(input, {1, 3, side(), side()}));
      for (std::int64_t i = 0; i < steps.step_count(); ++i) {
        if (absl::Status status = yield(); !status.ok()) return status;
        tokens = encoder_->Step(i, tokens, decoder->reads_levels() ? &levels : nullptr, pause);
      }
      if (absl::Status status = yield(); !status.ok()) return status;
      const EncodedImage image = steps.Finish(tokens, std::move(levels));
      std::vector<at::Tensor> maps =
          image.high_res.empty() ? decoder->HighResFeatures(image) : image.high_res;
      maps.insert(maps.begin(), image.embedding);
      Embedding embedding;
      for (std::size_t i = 0; i < maps.size(); ++i) {
        embedding.maps.push_back(ToMap(maps[i], spec().embedding[i]));
      }
      return embedding;
    });
  }

  absl::StatusOr<LowResMasks> DecodeMasks(const Embedding& embedding,
                                          absl::Span<const Prompt> prompts,
                                          bool multimask_output) override {
    return nn::CatchTorch("decode", [&] {
      at::NoGradGuard no_grad;
      std::vector<at::Tensor> maps;
      for (const FeatureMap& map : embedding.maps) {
        maps.push_back(FromHost(map));
      }
      LowResMasks masks;
      for (const std::vector<std::size_t>& members : Batches(prompts)) {
        DecodedMasks decoded = DecodeBatch(maps, prompts, members, multimask_output);
        if (masks.size == 0) {
          masks.masks_per_prompt = static_cast<int>(decoded.logits.size(1));
          masks.size = static_cast<int>(decoded.logits.size(2));
          masks.logit_limit = model_.logit_limit;
          masks.logits.resize(prompts.size() * decoded.logits[0].numel());
          masks.iou_scores.resize(prompts.size() * masks.masks_per_prompt);
        }
        decoded.logits = decoded.logits.cpu();  // one transfer a batch
        decoded.iou_predictions = decoded.iou_predictions.cpu();
        for (std::size_t i = 0; i < members.size(); ++i) {
          const std::int64_t row = static_cast<std::int64_t>(i);
          ToHost(decoded.logits[row], members[i], &masks.logits);
          ToHost(decoded.iou_predictions[row], members[i], &masks.iou_scores);
        }
      }
      return masks;
    });
  }

  absl::Status WarmUp() override {
    nn::UseThreads(threads_);
    return nn::CatchTorch("warm up", [&]() -> absl::Status {
      at::NoGradGuard no_grad;
      // An encoder that is in the middle of a step is warm, and would lose what it works on.
      if (!encoder_->is_stepping) {
        std::vector<at::Tensor> levels;
        encoder_->Step(0, encoder_->steps->Begin(at::zeros({1, 3, side(), side()}, device_)),
                       &levels);
      }
      Embedding embedding;
      for (const FeatureShape& shape : spec().embedding) {
        embedding.maps.push_back({shape, std::vector<std::byte>(shape.bytes())});
      }
      Prompt prompt;
      prompt.points.push_back({{0, 0}, 1});
      return DecodeMasks(embedding, {&prompt, 1}, /*multimask_output=*/false).status();
    });
  }

 private:
  std::int64_t side() const { return model_.spec.image_size; }

  at::Tensor FromHost(absl::Span<const float> values, at::IntArrayRef shape) const {
    // Only read from; Torch has no const tensors.
    return at::from_blob(const_cast<float*>(values.data()), shape, at::kFloat).to(device_);
  }
  at::Tensor FromHost(const FeatureMap& map) const {
    const FeatureShape& shape = map.shape;
    return at::from_blob(const_cast<std::byte*>(map.data.data()),
                         {1, shape.channels, shape.height, shape.width}, TypeOf(shape))
        .to(device_, at::kFloat);
  }

  // All `members` have as many points and a box or none.
  DecodedMasks DecodeBatch(const std::vector<at::Tensor>& maps, absl::Span<const Prompt> prompts,
                           const std::vector<std::size_t>& members, bool multimask_output) {
    const std::int64_t count = static_cast<std::int64_t>(members.size());
    const Prompt& first = prompts[members.front()];
    PromptEncoder& encoder = model_.prompt_encoder;

    at::Tensor sparse = at::empty({count, 0, maps[0].size(1)}, at::TensorOptions().device(device_));
    const bool pad = first.box ? model_.pads_boxes : !first.points.empty();
    if (!first.points.empty() || pad) {
      std::vector<float> coords;
      std::vector<std::int64_t> labels;
      for (const std::size_t member : members) {
        for (const PromptPoint& point : prompts[member].points) {
          coords.insert(coords.end(), {point.at.x, point.at.y});
          labels.push_back(point.label);
        }
      }
      const std::int64_t points = static_cast<std::int64_t>(first.points.size());
      sparse = encoder->EmbedPoints(
          FromHost(coords, {count, points, 2}),
          at::from_blob(labels.data(), {count, points}, at::kLong).to(device_), pad);
    }
    if (first.box) {
      std::vector<float> corners;
      for (const std::size_t member : members) {
        const vision::Box& box = *prompts[member].box;
        corners.insert(corners.end(), {box.x_min, box.y_min, box.x_max, box.y_max});
      }
      sparse = at::cat({sparse, encoder->EmbedBoxes(FromHost(corners, {count, 4}))}, 1);
    }
    const at::Tensor dense = DenseOf(prompts, members);
    const std::vector<at::Tensor> high_res(maps.begin() + 1, maps.end());
    if (packed_decoder_.has_value()) {
      return packed_decoder_->Run(maps[0], sparse, dense, high_res, multimask_output);
    }
    MaskDecoder& decoder = model_.mask_decoder;
    return decoder->Select(decoder->forward(maps[0], positions_, sparse, dense, high_res),
                           multimask_output);
  }

  at::Tensor DenseOf(absl::Span<const Prompt> prompts, const std::vector<std::size_t>& members) {
    PromptEncoder& encoder = model_.prompt_encoder;
    const bool any = std::any_of(members.begin(), members.end(),
                                 [&](std::size_t i) { return !prompts[i].mask_logits.empty(); });
    if (!any) return encoder->NoMask();
    const std::int64_t low = model_.spec.low_res_size, grid = positions_.size(2);
    std::vector<at::Tensor> rows;
    for (const std::size_t member : members) {
      const std::vector<float>& mask = prompts[member].mask_logits;
      rows.push_back(mask.empty() ? encoder->NoMask().expand({1, -1, grid, grid})
                                  : encoder->EmbedMasks(FromHost(mask, {1, 1, low, low})));
    }
    return at::cat(rows);
  }

  ModelParts model_;
  const at::Device device_;
  const std::shared_ptr<Encoder> encoder_;
  const int threads_;
  at::Tensor positions_;  // of the embedding's cells; constant, so computed once
  std::optional<PackedMaskDecoder> packed_decoder_;  // on CPUs
};

}  // namespace

class SharedEncoders {
 public:
  // Null if no network uses an encoder that was kept under `key`.
  std::shared_ptr<Encoder> Find(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto found = encoders_.find(key);
    return found == encoders_.end() ? nullptr : found->second.lock();
  }
  void Keep(const std::string& key, const std::shared_ptr<Encoder>& encoder) {
    const std::lock_guard lock(mutex_);
    std::erase_if(encoders_, [](const auto& one) { return one.second.expired(); });
    encoders_[key] = encoder;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<Encoder>> encoders_;  // guarded by mutex_
};

std::shared_ptr<SharedEncoders> MakeSharedEncoders() { return std::make_shared<SharedEncoders>(); }

namespace {

// Lets go of what has been packed and of the file that holds it, which the rest is copied from.
void ReleaseFile(const ModelParts& model) {
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : nn::NamedState(*model.weights)) {
    const auto begins = [&name = name](const std::string& prefix) {
      return absl::StartsWith(name, prefix);
    };
    const bool packed =
        std::any_of(model.packed_prefixes.begin(), model.packed_prefixes.end(), begins);
    tensor.set_data(packed ? at::empty({0}, tensor.options()) : tensor.clone());
  }
}

// The model's encoder in its fast form, which it may have in common with another network. Notes in
// model->spec what that is.
absl::StatusOr<std::shared_ptr<Encoder>> PackEncoder(const checkpoint::StateDict& state_dict,
                                                     const NetworkOptions& options,
                                                     nn::onednn::Precision precision, int threads,
                                                     absl::string_view sidecar, ModelParts* model) {
  NetworkSpec& spec = model->spec;
  const auto packed = [&](std::string_view name) {
    return std::any_of(model->packed_prefixes.begin(), model->packed_prefixes.end(),
                       [&](const std::string& prefix) { return name.starts_with(prefix); });
  };
  std::uint64_t numbers = 0;
  for (const auto& [name, view] : state_dict) {
    if (packed(name)) numbers += static_cast<std::uint64_t>(view.NumElements());
  }
  // All that its numbers are made from: what the weights don't say is in the sidecar.
  const std::string key = absl::StrCat(spec.name, " ", spec.encoder_hash, " ", spec.image_size, " ",
                                       static_cast<int>(precision), " ", threads, " ", sidecar);
  SharedEncoders* const shared = options.shared_encoders.get();
  std::shared_ptr<Encoder> encoder = shared == nullptr ? nullptr : shared->Find(key);
  spec.shares_encoder = encoder != nullptr;
  if (encoder == nullptr) {
    absl::StatusOr<std::shared_ptr<EncoderSteps>> fresh = model->pack(precision, threads);
    if (!fresh.ok()) return fresh.status();
    encoder = std::make_shared<Encoder>(*std::move(fresh));
    if (shared != nullptr) shared->Keep(key, encoder);
  }
  spec.packed_encoder_bytes = numbers * sizeof(float);
  return encoder;
}

absl::StatusOr<std::unique_ptr<SamNetwork>> Load(const checkpoint::StateDict& state_dict,
                                                 const NetworkOptions& options,
                                                 absl::string_view sidecar) {
  const bool bf16 = options.precision == "bf16";
  return nn::CatchTorch("load", [&]() -> absl::StatusOr<std::unique_ptr<SamNetwork>> {
    const nn::SkipInitialization loaded_below;
    absl::StatusOr<ModelParts> model =
        MakeModel(state_dict, {.hq_token_only = options.hq_token_only, .sidecar = sidecar});
    if (!model.ok()) return model.status();
    if (options.embedding_precision == "bf16") {
      for (FeatureShape& shape : model->spec.embedding) {
        shape.precision = FeaturePrecision::kBFloat16;
      }
    }
    if (bf16 && !model->pack) {
      return absl::FailedPreconditionError(absl::StrCat(
          "--precision=bf16: ", model->spec.name, " is served in fp32 only; leave the flag out"));
    }
    if (absl::Status status = nn::LoadStateDict(state_dict, *model->weights,
                                                {.memory = nn::Memory::kBorrow,
                                                 .ignored_prefixes = model->unused_prefixes,
                                                 .extra = &model->spec.extra_tensors});
        !status.ok()) {
      return status;
    }
    model->spec.encoder_hash = checkpoint::HashTensors(state_dict, [&](std::string_view name) {
      const auto begins = [&](const std::string& prefix) { return name.starts_with(prefix); };
      return std::none_of(model->unused_prefixes.begin(), model->unused_prefixes.end(), begins) &&
             std::none_of(model->decoder_prefixes.begin(), model->decoder_prefixes.end(), begins);
    });
    nn::onednn::Precision computed = nn::onednn::Precision::kFloat32;
    model->weights->eval();
    const int threads = options.threads > 0 ? options.threads : serving::ReadCpuBudget().threads();
    auto encoder = std::make_shared<Encoder>(model->encoder);
    if (options.device == "cpu" && model->pack) {
      absl::StatusOr<std::shared_ptr<Encoder>> packed = PackEncoder(
          state_dict, options, nn::onednn::FasterPrecision(bf16), threads, sidecar, &*model);
      if (packed.ok()) {
        computed = nn::onednn::FasterPrecision(bf16);
        encoder = *std::move(packed);
        ReleaseFile(*model);
      } else if (bf16 || !absl::IsUnimplemented(packed.status())) {
        return packed.status();
      }
    }
    model->spec.arithmetic = nn::onednn::ArithmeticClass(options.device, computed);
    return std::make_unique<FamilyNetwork>(*std::move(model), at::Device(options.device),
                                           std::move(encoder), threads);
  });
}

}  // namespace

std::vector<float> LowResMasks::ClampedLogits(std::size_t prompt, int mask) const {
  const absl::Span<const float> logits = Logits(prompt, mask);
  std::vector<float> clamped(logits.begin(), logits.end());
  for (float& value : clamped) value = std::clamp(value, -logit_limit, logit_limit);
  return clamped;
}

void LowResMasks::Reserve(std::size_t prompts) {
  logits.reserve(prompts * masks_per_prompt * size * size);
  iou_scores.reserve(prompts * masks_per_prompt);
}

void LowResMasks::Append(const LowResMasks& more) {
  logits.insert(logits.end(), more.logits.begin(), more.logits.end());
  iou_scores.insert(iou_scores.end(), more.iou_scores.begin(), more.iou_scores.end());
}

absl::StatusOr<std::unique_ptr<SamNetwork>> LoadNetwork(const checkpoint::StateDict& state_dict,
                                                        const NetworkOptions& options,
                                                        absl::string_view sidecar) {
  const bool bf16 = options.precision == "bf16";
  if (!bf16 && options.precision != "fp32" && options.precision != "fp32-strict") {
    return absl::InvalidArgumentError(
        absl::StrCat("--precision=", options.precision, ": must be fp32, fp32-strict or bf16"));
  }
  if (bf16 && (options.device != "cpu" || !nn::onednn::CpuHasBFloat16())) {
    return absl::FailedPreconditionError(
        "--precision=bf16 needs --device=cpu and a CPU with bf16 arithmetic (AVX512_BF16); use "
        "fp32");
  }
  absl::StatusOr<std::unique_ptr<SamNetwork>> network = absl::InternalError("not loaded");
  // Packing starts a team of threads, which shall not stay beside the one that computes.
  const absl::Status thrown = nn::CatchTorch("load", [&] {
    nn::RunOnTemporaryThread([&] { network = Load(state_dict, options, sidecar); });
  });
  if (!thrown.ok()) return thrown;
  return network;
}

}  // namespace segmenter
