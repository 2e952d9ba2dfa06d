#include "segmenter_service/modeling/sam_config.h"

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/string_view.h>

#include <algorithm>
#include <utility>

namespace segmenter {
namespace {

using Shape = std::vector<std::int64_t>;

// Above what any known network has; a file with more is damaged or hostile.
constexpr std::int64_t kMaxChannels = 16384;
constexpr std::int64_t kMaxImageSize = 4096;

std::string Text(const Shape& shape) { return absl::StrCat("[", absl::StrJoin(shape, "x"), "]"); }

// Bytes of memory that the tensors really stand for. Strides may let a small file claim any shape.
std::int64_t BackedBytes(const checkpoint::StateDict& state_dict) {
  std::vector<std::pair<const std::byte*, const std::byte*>> spans;
  for (const auto& [name, view] : state_dict) {
    if (view.NumElements() == 0) continue;
    std::int64_t last = 0;
    for (std::size_t i = 0; i < view.shape.size(); ++i) {
      last += (view.shape[i] - 1) * view.strides[i];
    }
    spans.emplace_back(view.data,
                       view.data + (last + 1) * static_cast<std::int64_t>(SizeOf(view.dtype)));
  }
  std::sort(spans.begin(), spans.end());
  std::int64_t bytes = 0;
  const std::byte* end = nullptr;
  for (const auto& [from, to] : spans) {
    if (to <= end) continue;
    bytes += to - std::max(from, end);
    end = to;
  }
  return bytes;
}

// Reads shapes by name; remembers the first complaint, after which everything reads as 1.
class ShapeReader {
 public:
  explicit ShapeReader(const checkpoint::StateDict& state_dict) {
    for (const auto& [name, view] : state_dict) shapes_.emplace(name, &view.shape);
  }

  bool Has(absl::string_view name) const { return shapes_.contains(name); }

  // `dims` says in words what the shape means, one entry a dimension.
  Shape Read(const std::string& name, const std::vector<absl::string_view>& dims) {
    const auto it = shapes_.find(name);
    const Shape fallback(dims.size(), 1);
    if (it == shapes_.end()) {
      Complain(absl::StrCat("tensor '", name, "' is missing; Segment Anything needs it"));
      return fallback;
    }
    const Shape& shape = *it->second;
    const bool sane = std::all_of(shape.begin(), shape.end(), [](std::int64_t size) {
      return size > 0 && size <= kMaxChannels;
    });
    if (shape.size() != dims.size() || !sane) {
      Complain(absl::StrCat("tensor '", name, "' is ", Text(shape), " but should be [",
                            absl::StrJoin(dims, "x"), "]"));
      return fallback;
    }
    return shape;
  }

  void Require(bool condition, absl::string_view name, absl::string_view needed) {
    if (condition) return;
    const auto it = shapes_.find(name);
    Complain(absl::StrCat("tensor '", name, "' is ",
                          it == shapes_.end() ? "missing" : Text(*it->second), " but ", needed));
  }

  const absl::Status& status() const { return status_; }

 private:
  void Complain(std::string message) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(message);
  }

  absl::flat_hash_map<absl::string_view, const Shape*> shapes_;
  absl::Status status_;
};

absl::Status RefuseOtherFamilies(const checkpoint::StateDict& state_dict) {
  const auto any = [&](absl::string_view part) {
    return std::any_of(state_dict.begin(), state_dict.end(),
                       [&](const auto& entry) { return absl::StartsWith(entry.first, part); });
  };
  constexpr absl::string_view kNeeded = "; this build serves SAM ViT-B, ViT-L and ViT-H";
  if (any("image_encoder.trunk.")) {
    return absl::InvalidArgumentError(absl::StrCat("this is a SAM 2 checkpoint", kNeeded));
  }
  if (any("mask_decoder.hf_token.")) {
    return absl::InvalidArgumentError(absl::StrCat("this is an HQ-SAM checkpoint", kNeeded));
  }
  if (any("image_encoder.patch_embed.seq.")) {
    return absl::InvalidArgumentError(
        absl::StrCat("this is a MobileSAM (TinyViT) checkpoint", kNeeded));
  }
  if (any("backbone.") && any("bbox_head.")) {
    return absl::InvalidArgumentError(
        "this is a detector's checkpoint; a Segment Anything checkpoint is needed "
        "(the detector's goes to duet-detector)");
  }
  if (!any("image_encoder.")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no tensor is named 'image_encoder.…', so this is no Segment Anything checkpoint; ",
        state_dict.empty() ? "the file holds no tensors"
                           : absl::StrCat("the first of its ", state_dict.size(), " is '",
                                          state_dict.front().first, "'")));
  }
  return absl::OkStatus();
}

// 1 + the largest N of names "<prefix>N.…", 0 if there are none.
std::int64_t CountIndexed(const checkpoint::StateDict& state_dict, absl::string_view prefix) {
  std::int64_t count = 0;
  for (const auto& [name, view] : state_dict) {
    absl::string_view rest = name;
    if (!absl::StartsWith(rest, prefix)) continue;
    rest.remove_prefix(prefix.size());
    std::int64_t index = 0;
    if (absl::SimpleAtoi(rest.substr(0, rest.find('.')), &index) && index >= 0 &&
        index < static_cast<std::int64_t>(state_dict.size())) {
      count = std::max(count, index + 1);
    }
  }
  return count;
}

ImageEncoderConfig ReadImageEncoder(const checkpoint::StateDict& state_dict, ShapeReader& reader) {
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

  const std::int64_t depth = CountIndexed(state_dict, "image_encoder.blocks.");
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

MaskDecoderConfig ReadMaskDecoder(const checkpoint::StateDict& state_dict, std::int64_t dim,
                                  ShapeReader& reader) {
  MaskDecoderConfig config;
  const std::string layer = "mask_decoder.transformer.layers.";
  config.depth = CountIndexed(state_dict, layer);
  reader.Require(config.depth > 0, layer + "0.mlp.lin1.weight", "at least one is needed");
  config.mlp_dim = reader.Read(layer + "0.mlp.lin1.weight", {"mlp", "D"})[0];
  const std::string q_name = layer + "0.cross_attn_token_to_image.q_proj.weight";
  const std::int64_t internal = reader.Read(q_name, {"D/downsample", "D"})[0];
  reader.Require(dim % internal == 0 && internal % config.num_heads == 0, q_name,
                 absl::StrCat("its rows must divide ", dim, " and be a multiple of ",
                              config.num_heads, " heads"));
  config.attention_downsample = dim / internal;
  const std::string tokens_name = "mask_decoder.mask_tokens.weight";
  config.num_mask_tokens = reader.Read(tokens_name, {"masks", "D"})[0];
  reader.Require(config.num_mask_tokens >= 2 && config.num_mask_tokens <= 64, tokens_name,
                 "needs 2 to 64 rows");
  config.iou_head_depth = CountIndexed(state_dict, "mask_decoder.iou_prediction_head.layers.");
  config.iou_head_hidden =
      reader.Read("mask_decoder.iou_prediction_head.layers.0.weight", {"hidden", "D"})[0];
  return config;
}

// Of the large matrices, so a little less than the network's parameters.
std::int64_t CountWeights(const SamConfig& config) {
  const ImageEncoderConfig& encoder = config.image_encoder;
  const std::int64_t c = encoder.embed_dim, d = config.embed_dim;
  return encoder.depth() * (4 * c * c + 2 * c * encoder.mlp_dim) +
         encoder.grid() * encoder.grid() * c + c * d + 9 * d * d +
         config.mask_decoder.depth * 2 * d * config.mask_decoder.mlp_dim;
}

}  // namespace

std::string SamConfig::Name() const {
  const std::int64_t dim = image_encoder.embed_dim, depth = image_encoder.depth();
  const bool official_input = image_encoder.image_size == 1024;
  if (official_input && dim == 768 && depth == 12) return "sam-vit-b";
  if (official_input && dim == 1024 && depth == 24) return "sam-vit-l";
  if (official_input && dim == 1280 && depth == 32) return "sam-vit-h";
  return absl::StrCat("sam-vit-", dim, "x", depth, "-", image_encoder.image_size);
}

absl::StatusOr<SamConfig> InferConfig(const checkpoint::StateDict& state_dict) {
  if (absl::Status status = RefuseOtherFamilies(state_dict); !status.ok()) return status;
  ShapeReader reader(state_dict);
  SamConfig config;
  config.image_encoder = ReadImageEncoder(state_dict, reader);
  const std::string iou_name = "mask_decoder.iou_token.weight";
  config.embed_dim = reader.Read(iou_name, {"1", "D"})[1];
  reader.Require(config.embed_dim % 8 == 0, iou_name, "its width must be a multiple of 8");
  const std::string mask_name = "prompt_encoder.mask_downscaling.3.weight";
  config.prompt_encoder.mask_in_chans = reader.Read(mask_name, {"M", "M/4", "2", "2"})[0];
  reader.Require(config.prompt_encoder.mask_in_chans % 4 == 0, mask_name,
                 "needs a multiple of 4 rows");
  config.mask_decoder = ReadMaskDecoder(state_dict, config.embed_dim, reader);
  if (!reader.status().ok()) return reader.status();
  if (CountWeights(config) > BackedBytes(state_dict)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the shapes claim ", CountWeights(config), " weights, more than the file's ",
                     BackedBytes(state_dict), " bytes of tensors can hold"));
  }
  return config;
}

}  // namespace segmenter
