#include "segmenter_service/modeling/sam2_config.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <algorithm>

namespace segmenter {
namespace {

using Numbers = std::vector<std::int64_t>;

const std::string kTrunk = "image_encoder.trunk.";
constexpr std::size_t kStages = 4;

// sam2/configs/sam2.1/*.yaml; those of sam2/ have the same image part.
struct Official {
  const char* name;
  std::int64_t embed_dim;
  Numbers stages;
  std::int64_t num_heads;
  Numbers global_att_blocks, window_spec;
};
const std::vector<Official>& OfficialVariants() {
  static const auto* const variants = new std::vector<Official>{
      {"tiny", 96, {1, 2, 7, 2}, 1, {5, 7, 9}, {8, 4, 14, 7}},
      {"small", 96, {1, 2, 11, 2}, 1, {7, 10, 13}, {8, 4, 14, 7}},
      {"base-plus", 112, {2, 3, 16, 3}, 2, {12, 16, 20}, {8, 4, 14, 7}},
      {"large", 144, {2, 6, 36, 4}, 2, {23, 33, 43}, {8, 4, 16, 8}},
  };
  return *variants;
}

const Official* FindOfficial(const HieraConfig& config) {
  for (const Official& variant : OfficialVariants()) {
    if (variant.embed_dim == config.embed_dim && variant.stages == config.stages) return &variant;
  }
  return nullptr;
}

// The sizes that the file's shapes tell.
HieraConfig ReadHiera(ShapeReader& reader) {
  HieraConfig config;
  const Shape patch = reader.Read(kTrunk + "patch_embed.proj.weight", {"C", "3", "7", "7"});
  reader.Require(patch[1] == 3 && patch[2] == 7 && patch[3] == 7,
                 kTrunk + "patch_embed.proj.weight", "should be [Cx3x7x7]");
  config.embed_dim = patch[0];
  const Shape pos = reader.Read(kTrunk + "pos_embed", {"1", "C", "height", "width"});
  config.window_pos_embed_bkg_spatial_size = {pos[2], pos[3]};
  const std::string window_name = kTrunk + "pos_embed_window";
  const Shape window = reader.Read(window_name, {"1", "C", "window", "window"});
  const std::int64_t side = config.image_size / HieraConfig::kPatchStride;
  reader.Require(window[2] == window[3] && side % window[2] == 0, window_name,
                 absl::StrCat("should be square, with a side that divides ", side));
  config.window_spec = {window[2]};

  const std::int64_t depth = reader.tensors().CountIndexed(kTrunk + "blocks.");
  config.stages = {0};
  for (std::int64_t i = 0; i < depth; ++i) {
    // A block with a projection of its own opens a stage.
    if (reader.tensors().Has(absl::StrCat(kTrunk, "blocks.", i, ".proj.weight")))
      config.stages.push_back(0);
    ++config.stages.back();
  }
  reader.Require(config.stages.size() == kStages && config.stages[0] > 0,
                 kTrunk + "blocks.0.attn.qkv.weight",
                 absl::StrCat("its trunk's stages are ", absl::StrJoin(config.stages, ","),
                              " blocks; 4 stages are needed"));
  config.mlp_ratio =
      reader.Read(kTrunk + "blocks.0.mlp.layers.0.weight", {"hidden", "C"})[0] / config.embed_dim;
  return config;
}

absl::Status CheckAgrees(absl::string_view key, const Numbers& sidecar, const Numbers& file) {
  if (sidecar == file) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the sidecar file's \"", key, "\" is ", absl::StrJoin(sidecar, ","),
                   ", but the checkpoint's tensors say ", absl::StrJoin(file, ",")));
}

// Fills in what shapes don't tell, from the official variants and the sidecar.
absl::Status Complete(Sidecar& sidecar, HieraConfig* config) {
  const Official* official = FindOfficial(*config);
  const bool in_sidecar =
      sidecar.Has("num_heads") && sidecar.Has("global_att_blocks") && sidecar.Has("window_spec");
  if (official == nullptr && !in_sidecar) {
    return absl::InvalidArgumentError(absl::StrCat(
        "this SAM 2 trunk of width ", config->embed_dim, " with stages of ",
        absl::StrJoin(config->stages, ","),
        " blocks is none of the official ones (tiny, small, base-plus, large), and the file "
        "doesn't "
        "tell its heads and windows: put them into a file of the checkpoint's name with .json "
        "behind it, as {\"num_heads\": …, \"global_att_blocks\": […], \"window_spec\": […]}"));
  }
  const Numbers file_window = config->window_spec;
  if (official != nullptr) {
    config->num_heads = official->num_heads;
    config->global_att_blocks = official->global_att_blocks;
    config->window_spec = official->window_spec;
  }
  const std::int64_t depth = static_cast<std::int64_t>(config->Blocks().size());
  std::int64_t embed_dim = config->embed_dim;
  Numbers stages = config->stages, background = config->window_pos_embed_bkg_spatial_size;
  sidecar.Read("num_heads", 1, config->embed_dim, &config->num_heads);
  sidecar.Read("global_att_blocks", 0, 0, depth - 1, &config->global_att_blocks);
  sidecar.Read("window_spec", kStages, 1, 64, &config->window_spec);
  sidecar.Read("embed_dim", 1, 1 << 14, &embed_dim);
  sidecar.Read("stages", kStages, 1, 1 << 10, &stages);
  sidecar.Read("window_pos_embed_bkg_spatial_size", 2, 1, 1 << 10, &background);
  if (!sidecar.status().ok()) return sidecar.status();

  absl::Status status = CheckAgrees("embed_dim", {embed_dim}, {config->embed_dim});
  status.Update(CheckAgrees("stages", stages, config->stages));
  status.Update(CheckAgrees("window_pos_embed_bkg_spatial_size", background,
                            config->window_pos_embed_bkg_spatial_size));
  status.Update(CheckAgrees("window_spec[0]", {config->window_spec[0]}, file_window));
  if (!status.ok()) return status;

  if (config->embed_dim % config->num_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_heads is ", config->num_heads, "; it must divide ", config->embed_dim));
  }
  const std::vector<HieraConfig::Block> blocks = config->Blocks();
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (!blocks[i].pool) continue;
    if (blocks[i].window == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("global_att_blocks holds ", i, ", which opens a stage and can't be global"));
    }
    if (blocks[i].window % 2 != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("window_spec gives block ", i, ", which halves the grid, windows of ",
                       blocks[i].window, "; it needs an even number"));
    }
  }
  return absl::OkStatus();
}

std::int64_t CountWeights(const HieraConfig& config) {
  std::int64_t count = 0;
  for (const HieraConfig::Block& block : config.Blocks()) {
    count +=
        block.dim_out * (3 * block.dim_in + block.dim_out + 2 * config.mlp_ratio * block.dim_out);
  }
  return count;
}

}  // namespace

std::vector<HieraConfig::Block> HieraConfig::Blocks() const {
  std::vector<Block> blocks;
  std::int64_t grid = image_size / kPatchStride, dim = embed_dim, heads = num_heads;
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    for (std::int64_t i = 0; i < stages[stage]; ++i) {
      Block block{.dim_in = dim, .dim_out = dim, .num_heads = heads, .grid = grid};
      block.pool = stage > 0 && i == 0;
      block.ends_stage = i + 1 == stages[stage];
      if (block.pool) {
        block.dim_out = dim *= 2;
        block.num_heads = heads *= 2;
        grid /= 2;
      }
      const std::int64_t index = static_cast<std::int64_t>(blocks.size());
      const bool global = std::count(global_att_blocks.begin(), global_att_blocks.end(), index) > 0;
      const std::size_t of = std::min(block.pool ? stage - 1 : stage, window_spec.size() - 1);
      block.window = global ? 0 : window_spec[of];
      blocks.push_back(block);
    }
  }
  return blocks;
}

std::string Sam2Config::Name() const {
  const std::string prefix = is_2_1 ? "sam2.1-hiera-" : "sam2-hiera-";
  if (const Official* official = FindOfficial(image_encoder)) return prefix + official->name;
  return absl::StrCat(prefix, image_encoder.embed_dim, "x", image_encoder.Blocks().size());
}

absl::StatusOr<Sam2Config> InferSam2Config(const checkpoint::StateDict& state_dict,
                                           Sidecar& sidecar) {
  if (!sidecar.status().ok()) return sidecar.status();
  ShapeReader reader(state_dict);
  Sam2Config config;
  config.is_2_1 = reader.tensors().Has("no_obj_embed_spatial");
  config.image_encoder = ReadHiera(reader);
  ReadPrompted("sam_prompt_encoder.", "sam_mask_decoder.", reader, &config);
  reader.Require(
      !reader.status().ok() || config.mask_decoder.kind == MaskDecoderConfig::Kind::kSam2,
      "sam_mask_decoder.obj_score_token.weight", "SAM 2 needs it");
  if (!reader.status().ok()) return reader.status();
  if (absl::Status status = Complete(sidecar, &config.image_encoder); !status.ok()) return status;
  MaskDecoderConfig& decoder = config.mask_decoder;
  sidecar.Read("dynamic_multimask_via_stability", &decoder.dynamic_multimask_via_stability);
  sidecar.Read("dynamic_multimask_stability_delta", &decoder.dynamic_multimask_stability_delta);
  sidecar.Read("dynamic_multimask_stability_thresh", &decoder.dynamic_multimask_stability_thresh);
  if (!sidecar.status().ok()) return sidecar.status();
  reader.RequireBacked(CountWeights(config.image_encoder) + CountPromptedWeights(config));
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace segmenter
