#include "trainer/segmenter/tunable_segmenter.h"

#include <ATen/core/grad_mode.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/content_hash.h"
#include "checkpoint/pth_writer.h"
#include "checkpoint/wrappers.h"
#include "files/atomic_file.h"
#include "files/text_file.h"
#include "nn/layers.h"
#include "nn/state_dict.h"
#include "nn/torch_status.h"
#include "segmenter_service/inference/family.h"
#include "segmenter_service/modeling/hugging_face_names.h"

namespace trainer {
namespace {

constexpr std::size_t kMaxSidecarBytes = 64 << 10;

absl::StatusOr<checkpoint::StateDict> ReadTensors(const std::string& path) {
  absl::StatusOr<checkpoint::Checkpoint> file = checkpoint::ReadCheckpoint(path);
  if (!file.ok()) return file.status();
  constexpr std::string_view kAnchors[] = {"image_encoder", "vision_encoder"};
  const auto removed = checkpoint::RemoveWrappers(kAnchors, &file->state_dict);
  if (!removed.ok()) {
    return absl::Status(removed.status().code(),
                        absl::StrCat(path, ": ", removed.status().message()));
  }
  return segmenter::HasHuggingFaceNames(file->state_dict)
             ? segmenter::FromHuggingFaceNames(file->state_dict)
             : std::move(file->state_dict);
}

// The network with the file's weights, of which the decoder's are its own.
absl::StatusOr<segmenter::ModelParts> LoadParts(const TunableSegmenter& segmenter) {
  const nn::SkipInitialization loaded_below;
  auto parts = segmenter::MakeModel(segmenter.file, {.sidecar = segmenter.sidecar});
  if (!parts.ok()) return parts.status();
  if (parts->mask_decoder->config.kind == segmenter::MaskDecoderConfig::Kind::kHq) {
    return absl::InvalidArgumentError(
        absl::StrCat("is ", parts->spec.name,
                     ", whose decoder is not trained in this way; SAM, "
                     "MobileSAM or SAM 2 is needed"));
  }
  std::vector<std::string> extra;
  const absl::Status loaded = nn::LoadStateDict(
      segmenter.file, *parts->weights,
      {.memory = nn::Memory::kBorrow, .ignored_prefixes = parts->unused_prefixes, .extra = &extra});
  if (!loaded.ok()) return loaded;
  const at::NoGradGuard no_grad;
  const auto own = [](const torch::nn::Module& module) {
    for (auto& [name, tensor] : nn::NamedState(module)) tensor.set_data(tensor.clone());
  };
  own(*parts->prompt_encoder);
  own(*parts->mask_decoder);
  return parts;
}

}  // namespace

absl::StatusOr<TunableSegmenter> LoadTunable(const std::string& path) {
  TunableSegmenter segmenter;
  absl::StatusOr<checkpoint::StateDict> tensors = ReadTensors(path);
  if (!tensors.ok()) return tensors.status();
  segmenter.file = *std::move(tensors);
  absl::StatusOr<std::string> sidecar = files::ReadText(path + ".json", kMaxSidecarBytes);
  if (!sidecar.ok() && !absl::IsNotFound(sidecar.status())) return sidecar.status();
  if (sidecar.ok()) segmenter.sidecar = *std::move(sidecar);
  const absl::Status status = nn::CatchTorch("load", [&]() -> absl::Status {
    absl::StatusOr<segmenter::ModelParts> parts = LoadParts(segmenter);
    if (!parts.ok()) return parts.status();
    const bool sam2 = parts->mask_decoder->config.kind == segmenter::MaskDecoderConfig::Kind::kSam2;
    segmenter.prefix = sam2 ? "sam_" : "";
    segmenter.wrapper_key = sam2 ? "model" : "";
    segmenter.beside_encoder = parts->decoder_prefixes;
    segmenter.beside_encoder.insert(segmenter.beside_encoder.end(), parts->unused_prefixes.begin(),
                                    parts->unused_prefixes.end());
    segmenter.decoder = std::make_shared<PromptedDecoder>(
        parts->prompt_encoder, parts->mask_decoder, parts->pads_boxes, parts->logit_limit);
    return absl::OkStatus();
  });
  if (!status.ok()) {
    return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
  }
  return segmenter;
}

bool ShareEncoder(const TunableSegmenter& one, const TunableSegmenter& other) {
  const auto hash = [](const TunableSegmenter& segmenter) {
    return checkpoint::HashTensors(segmenter.file, [&](std::string_view name) {
      return std::none_of(segmenter.beside_encoder.begin(), segmenter.beside_encoder.end(),
                          [&](const std::string& prefix) { return name.starts_with(prefix); });
    });
  };
  return one.sidecar == other.sidecar && hash(one) == hash(other);
}

absl::Status WriteTuned(const TunableSegmenter& segmenter, const std::string& path) {
  std::map<std::string, checkpoint::TensorView> tuned;
  for (auto& [name, view] : nn::ToStateDict(*segmenter.decoder)) {
    tuned.emplace(segmenter.prefix + name, std::move(view));
  }
  checkpoint::StateDict whole = segmenter.file;
  for (auto& [name, view] : whole) {
    const auto found = tuned.find(name);
    if (found != tuned.end()) view = found->second;
  }
  absl::Status status = segmenter.wrapper_key.empty()
                            ? checkpoint::WritePth(path, whole, std::nullopt)
                            : checkpoint::WriteWrappedPth(path, segmenter.wrapper_key, whole);
  if (!status.ok() || segmenter.sidecar.empty()) return status;
  return files::WriteFile(path + ".json", segmenter.sidecar);
}

}  // namespace trainer
