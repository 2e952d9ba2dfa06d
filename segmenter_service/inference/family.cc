#include "segmenter_service/inference/family.h"

#include <absl/strings/str_cat.h>

#include <utility>

#include "checkpoint/tensor_index.h"
#include "segmenter_service/modeling/mobile_sam.h"
#include "segmenter_service/modeling/sam.h"
#include "segmenter_service/modeling/sam2.h"
#include "segmenter_service/modeling/sam2_config.h"
#include "segmenter_service/modeling/sidecar.h"
#include "segmenter_service/modeling/tiny_vit_config.h"
#include "segmenter_service/packed/packed_hiera.h"
#include "segmenter_service/packed/packed_tiny_vit.h"
#include "segmenter_service/packed/packed_vit.h"

namespace segmenter {
namespace {

using Kind = MaskDecoderConfig::Kind;

// What all families' modules and configs have under the same names.
template <typename Module>
ModelParts Describe(const Module& module, std::int64_t image_size, std::int64_t grid) {
  const auto& config = module->config;
  ModelParts model;
  model.spec.name = config.Name();
  model.spec.image_size = static_cast<int>(image_size);
  model.spec.low_res_size = static_cast<int>(4 * grid);
  model.weights = module.ptr();
  model.prompt_encoder = module->prompt_encoder;
  model.mask_decoder = module->mask_decoder;
  const std::string sam2 = config.mask_decoder.kind == Kind::kSam2 ? "sam_" : "";
  model.decoder_prefixes = {sam2 + "prompt_encoder."};
  if (config.mask_decoder.kind == Kind::kSam) {
    model.decoder_prefixes.push_back("mask_decoder.");
  } else {  // the rest of it makes maps of the image (HighResFeatures)
    for (const char* part : {"transformer.", "iou_token.", "mask_tokens.", "output_upscaling.",
                             "output_hypernetworks_mlps.", "iou_prediction_head.", "hf_token.",
                             "hf_mlp.", "embedding_maskfeature.", "obj_score_token."}) {
      model.decoder_prefixes.push_back(absl::StrCat(sam2, "mask_decoder.", part));
    }
  }
  const std::int64_t dim = config.embed_dim;
  model.spec.embedding.push_back({dim, grid, grid});
  if (config.mask_decoder.kind != Kind::kSam) {
    model.spec.embedding.push_back({dim / 8, 4 * grid, 4 * grid});
  }
  if (config.mask_decoder.kind == Kind::kSam2) {
    model.spec.embedding.push_back({dim / 4, 2 * grid, 2 * grid});
  }
  return model;
}

absl::Status SetOptions(const FamilyOptions& options, absl::string_view name,
                        MaskDecoderConfig* config) {
  if (options.hq_token_only && config->kind != Kind::kHq) {
    return absl::InvalidArgumentError(
        absl::StrCat("--hq_token_only needs an HQ-SAM checkpoint; this is ", name));
  }
  config->hq_token_only = options.hq_token_only;
  return absl::OkStatus();
}

absl::StatusOr<ModelParts> MakeSam(const checkpoint::StateDict& state_dict,
                                   const FamilyOptions& options) {
  absl::StatusOr<SamConfig> config = InferConfig(state_dict);
  if (!config.ok()) return config.status();
  absl::Status status = SetOptions(options, config->Name(), &config->mask_decoder);
  if (!status.ok()) return status;
  Sam sam(*config);
  const ImageEncoderConfig& encoder = config->image_encoder;
  ModelParts model = Describe(sam, encoder.image_size, encoder.grid());
  model.encoder = sam->image_encoder.ptr();
  model.pack = [sam, encoder](nn::onednn::Precision precision,
                              int threads) -> absl::StatusOr<std::shared_ptr<EncoderSteps>> {
    return PackViT(sam->image_encoder, encoder, precision, threads);
  };
  model.packed_prefixes = {"image_encoder.blocks.", "image_encoder.patch_embed.",
                           "image_encoder.pos_embed"};
  return model;
}

absl::StatusOr<ModelParts> MakeMobileSam(const checkpoint::StateDict& state_dict,
                                         const FamilyOptions& options) {
  Sidecar sidecar(options.sidecar);
  absl::StatusOr<MobileSamConfig> config = InferMobileSamConfig(state_dict, sidecar);
  if (!config.ok()) return config.status();
  absl::Status status = SetOptions(options, config->Name(), &config->mask_decoder);
  if (!status.ok()) return status;
  MobileSam sam(*config);
  const TinyViTConfig& encoder = config->image_encoder;
  ModelParts model = Describe(sam, encoder.image_size, encoder.grid());
  model.encoder = sam->image_encoder.ptr();
  model.unused_prefixes = MobileSamImpl::UnusedPrefixes();
  model.pack = [sam, encoder](nn::onednn::Precision precision, int threads) {
    return PackTinyViT(sam->image_encoder, encoder, precision, threads);
  };
  model.packed_prefixes = {"image_encoder.layers.", "image_encoder.patch_embed."};
  return model;
}

absl::StatusOr<ModelParts> MakeSam2(const checkpoint::StateDict& state_dict,
                                    const FamilyOptions& options) {
  Sidecar sidecar(options.sidecar);
  absl::StatusOr<Sam2Config> config = InferSam2Config(state_dict, sidecar);
  if (!config.ok()) return config.status();
  absl::Status status = SetOptions(options, config->Name(), &config->mask_decoder);
  if (!status.ok()) return status;
  Sam2 sam(*config);
  ModelParts model = Describe(sam, config->image_encoder.image_size, config->grid());
  model.encoder = sam.ptr();
  model.unused_prefixes = Sam2Impl::UnusedPrefixes();
  model.pack = [sam](nn::onednn::Precision precision,
                     int threads) -> absl::StatusOr<std::shared_ptr<EncoderSteps>> {
    return PackHiera(sam, precision, threads);
  };
  model.packed_prefixes = {"image_encoder."};
  model.spec.framing = Framing::kStretch;
  model.pads_boxes = true;
  model.logit_limit = 32;
  return model;
}

// A family is recognised by a prefix of names that only its kind of encoder has; the first match
// counts.
struct Family {
  const char* prefix;
  absl::StatusOr<ModelParts> (*make)(const checkpoint::StateDict&, const FamilyOptions&);
};
constexpr Family kFamilies[] = {
    {"image_encoder.trunk.", MakeSam2},
    {"image_encoder.patch_embed.seq.", MakeMobileSam},
    {"image_encoder.", MakeSam},
};

}  // namespace

absl::StatusOr<ModelParts> MakeModel(const checkpoint::StateDict& state_dict,
                                     const FamilyOptions& options) {
  const checkpoint::TensorIndex tensors(state_dict);
  for (const Family& family : kFamilies) {
    if (tensors.HasPrefix(family.prefix)) return family.make(state_dict, options);
  }
  if (tensors.HasPrefix("backbone.") && tensors.HasPrefix("bbox_head.")) {
    return absl::InvalidArgumentError(
        "this is a detector's checkpoint; a Segment Anything checkpoint is needed "
        "(the detector's goes to duet-detector)");
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no tensor is named 'image_encoder.…' (or 'vision_encoder.…', as Hugging "
                   "Face's), so this is no "
                   "Segment Anything checkpoint; ",
                   state_dict.empty() ? "the file holds no tensors"
                                      : absl::StrCat("the first of its ", state_dict.size(),
                                                     " is '", state_dict.front().first, "'")));
}

}  // namespace segmenter
