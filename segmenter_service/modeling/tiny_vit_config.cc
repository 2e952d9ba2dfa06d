#include "segmenter_service/modeling/tiny_vit_config.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <cmath>

namespace segmenter {
namespace {

constexpr std::int64_t kPatchStride = 4;  // of patch_embed
constexpr std::int64_t kMaxImageSize = 4096;

TinyViTConfig ReadTinyViT(ShapeReader& reader, Sidecar& sidecar) {
  const std::string prefix = "image_encoder.layers.";
  TinyViTConfig config;
  sidecar.Read("img_size", 64, kMaxImageSize, &config.image_size);
  std::vector<std::int64_t> strides = {2, 2, 1};  // the official network's
  sidecar.Read("downsample_strides", 3, 1, 2, &strides);
  const std::int64_t count = reader.tensors().CountIndexed(prefix);
  reader.Require(count == 4, prefix + "0.blocks.0.conv1.c.weight", "4 layers are needed");
  for (std::int64_t i = 0; i < count && reader.status().ok(); ++i) {
    TinyViTConfig::Layer layer;
    const std::string blocks = absl::StrCat(prefix, i, ".blocks.");
    layer.depth = reader.tensors().CountIndexed(blocks);
    if (i == 0) {
      const Shape conv = reader.Read(blocks + "0.conv1.c.weight", {"hidden", "C", "1", "1"});
      layer.hidden = conv[0];
      layer.dim = conv[1];
    } else {
      const Shape fc = reader.Read(blocks + "0.mlp.fc1.weight", {"hidden", "C"});
      layer.hidden = fc[0];
      layer.dim = fc[1];
      const std::string name = blocks + "0.attn.attention_biases";
      const Shape biases = reader.Read(name, {"heads", "window^2"});
      layer.num_heads = biases[0];
      layer.window = std::llround(std::sqrt(static_cast<double>(biases[1])));
      reader.Require(layer.window * layer.window == biases[1], name, "needs a square of columns");
      reader.Require(layer.dim % layer.num_heads == 0, name,
                     absl::StrCat("its rows must divide ", layer.dim));
    }
    if (i + 1 < count) layer.stride = strides[static_cast<std::size_t>(i)];
    config.layers.push_back(layer);
  }
  return config;
}

std::int64_t CountWeights(const TinyViTConfig& config) {
  std::int64_t count = 0;
  for (const TinyViTConfig::Layer& layer : config.layers) {
    const std::int64_t attention = layer.num_heads == 0 ? 0 : 4 * layer.dim * layer.dim;
    count += layer.depth * (2 * layer.dim * layer.hidden + attention);
  }
  return count;
}

}  // namespace

std::int64_t TinyViTConfig::grid() const {
  std::int64_t side = image_size / kPatchStride;
  for (std::size_t i = 0; i + 1 < layers.size(); ++i) side /= layers[i].stride;
  return side;
}

std::string MobileSamConfig::Name() const {
  const std::string name =
      mask_decoder.kind == MaskDecoderConfig::Kind::kHq ? "sam-hq-vit-tiny" : "mobile-sam";
  const auto& layers = image_encoder.layers;
  const std::string depths =
      absl::StrJoin(layers, "-", [](std::string* out, const TinyViTConfig::Layer& layer) {
        absl::StrAppend(out, layer.depth);
      });
  if (layers.back().dim == 320 && depths == "2-2-6-2") return name;
  return absl::StrCat(name, "-", layers.back().dim, "x", depths);
}

absl::StatusOr<MobileSamConfig> InferMobileSamConfig(const checkpoint::StateDict& state_dict,
                                                     Sidecar& sidecar) {
  ShapeReader reader(state_dict);
  MobileSamConfig config;
  config.image_encoder = ReadTinyViT(reader, sidecar);
  if (!sidecar.status().ok()) return sidecar.status();
  if (config.image_encoder.image_size % 64 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("the sidecar file's \"img_size\" is ",
                                                   config.image_encoder.image_size,
                                                   "; it must be a multiple of 64"));
  }
  ReadPrompted("prompt_encoder.", "mask_decoder.", reader, &config);
  reader.RequireBacked(CountWeights(config.image_encoder) + CountPromptedWeights(config));
  if (reader.status().ok() && config.mask_decoder.kind == MaskDecoderConfig::Kind::kHq) {
    const std::int64_t width = config.image_encoder.layers[2].dim;
    reader.Require(config.mask_decoder.vit_dim == width, "mask_decoder.compress_vit_feat.0.weight",
                   absl::StrCat("the encoder's second stage gives ", width, " channels"));
  }
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace segmenter
