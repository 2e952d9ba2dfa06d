#include "segmenter_service/modeling/sam_config.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <string>

#include "segmenter_service/modeling/prompted_config.h"
#include "segmenter_service/modeling/shape_reader.h"

namespace segmenter {
namespace {

constexpr std::int64_t kMaxImageSize = 4096;

ImageEncoderConfig ReadImageEncoder(ShapeReader& reader) {
  ImageEncoderConfig config;
  const std::string pos_name = "image_encoder.pos_embed";
  const Shape pos = reader.Read(pos_name, {"1", "grid", "grid", "C"});
  const std::int64_t grid = pos[1];
  config.embed_dim = pos[3];
  reader.Require(pos[1] == pos[2], pos_name, "should be square");

  const std::string patch_name = "image_encoder.patch_embed.proj.weight";
  const Shape patch = reader.Read(patch_name, {"C", "3", "patch", "patch"});
  reader.Require(patch[0] == config.embed_dim && patch[1] == 3 && patch[2] == patch[3], patch_name,
                 absl::StrCat("should be [", config.embed_dim, "x3xPxP]"));
  config.patch_size = patch[2];
  reader.Require(config.patch_size >= 4, patch_name,
                 "needs patches of at least 4 pixels, or masks would be finer than the input");
  config.image_size = grid * config.patch_size;
  reader.Require(config.image_size <= kMaxImageSize, pos_name, "gives an unreasonable input size");

  const std::int64_t depth = reader.tensors().CountIndexed("image_encoder.blocks.");
  reader.Require(depth > 0, "image_encoder.blocks.0.attn.rel_pos_h", "at least one is needed");
  config.window_sizes.clear();
  for (std::int64_t i = 0; i < depth && reader.status().ok(); ++i) {
    const std::string name = absl::StrCat("image_encoder.blocks.", i, ".attn.rel_pos_h");
    const Shape rel = reader.Read(name, {"2K-1", "head_dim"});
    reader.Require(rel[0] % 2 == 1 && rel[0] <= 2 * grid - 1, name,
                   absl::StrCat("needs an odd number of rows, at most ", 2 * grid - 1));
    reader.Require(config.embed_dim % rel[1] == 0, name,
                   absl::StrCat("its width must divide ", config.embed_dim));
    config.num_heads = config.embed_dim / rel[1];
    config.window_sizes.push_back(rel[0] == 2 * grid - 1 ? 0 : (rel[0] + 1) / 2);
  }
  config.mlp_dim = reader.Read("image_encoder.blocks.0.mlp.lin1.weight", {"mlp", "C"})[0];
  return config;
}

std::int64_t CountWeights(const ImageEncoderConfig& encoder) {
  const std::int64_t c = encoder.embed_dim;
  return encoder.depth() * (4 * c * c + 2 * c * encoder.mlp_dim) +
         encoder.grid() * encoder.grid() * c;
}

}  // namespace

std::string SamConfig::Name() const {
  const std::int64_t dim = image_encoder.embed_dim, depth = image_encoder.depth();
  const std::string vit =
      mask_decoder.kind == MaskDecoderConfig::Kind::kHq ? "sam-hq-vit-" : "sam-vit-";
  const bool official_input = image_encoder.image_size == 1024;
  if (official_input && dim == 768 && depth == 12) return vit + "b";
  if (official_input && dim == 1024 && depth == 24) return vit + "l";
  if (official_input && dim == 1280 && depth == 32) return vit + "h";
  return absl::StrCat(vit, dim, "x", depth, "-", image_encoder.image_size);
}

absl::StatusOr<SamConfig> InferConfig(const checkpoint::StateDict& state_dict) {
  ShapeReader reader(state_dict);
  SamConfig config;
  config.image_encoder = ReadImageEncoder(reader);
  ReadPrompted("prompt_encoder.", "mask_decoder.", reader, &config);
  reader.RequireBacked(CountWeights(config.image_encoder) + CountPromptedWeights(config));
  if (config.mask_decoder.kind == MaskDecoderConfig::Kind::kHq) {
    reader.Require(config.mask_decoder.vit_dim == config.image_encoder.embed_dim,
                   "mask_decoder.compress_vit_feat.0.weight",
                   absl::StrCat("the encoder gives ", config.image_encoder.embed_dim, " channels"));
    const auto& windows = config.image_encoder.window_sizes;
    reader.Require(std::count(windows.begin(), windows.end(), 0) > 0,
                   "image_encoder.blocks.0.attn.rel_pos_h",
                   "HQ-SAM needs a block that attends over the whole image");
  }
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace segmenter
