#include "segmenter_service/modeling/hugging_face_names.h"

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>
#include <absl/strings/string_view.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/tensor_index.h"

namespace segmenter {
namespace {

using Names = std::vector<std::pair<absl::string_view, absl::string_view>>;

// Components of names, with the dots around them, in both encoders and the decoder.
const Names& Components() {
  static const auto* const names = new Names{
      {".layer_norm1.", ".norm1."},
      {".layer_norm2.", ".norm2."},
      {".layer_norm3.", ".norm3."},
      {".layer_norm4.", ".norm4."},
      {".layer_norm_final_attn.", ".norm_final_attn."},
      {".o_proj.", ".out_proj."},
      {".patch_embed.projection.", ".patch_embed.proj."},
  };
  return *names;
}

// Beginnings of names; the first that fits counts.
const Names& Beginnings() {
  static const auto* const names = new Names{
      {"vision_encoder.backbone.", "image_encoder.trunk."},
      {"vision_encoder.layers.", "image_encoder.blocks."},
      {"vision_encoder.neck.conv1.", "image_encoder.neck.0."},
      {"vision_encoder.neck.layer_norm1.", "image_encoder.neck.1."},
      {"vision_encoder.neck.conv2.", "image_encoder.neck.2."},
      {"vision_encoder.neck.layer_norm2.", "image_encoder.neck.3."},
      {"vision_encoder.", "image_encoder."},
      {"prompt_encoder.point_embed.", "prompt_encoder.point_embeddings."},
      {"prompt_encoder.mask_embed.conv1.", "prompt_encoder.mask_downscaling.0."},
      {"prompt_encoder.mask_embed.layer_norm1.", "prompt_encoder.mask_downscaling.1."},
      {"prompt_encoder.mask_embed.conv2.", "prompt_encoder.mask_downscaling.3."},
      {"prompt_encoder.mask_embed.layer_norm2.", "prompt_encoder.mask_downscaling.4."},
      {"prompt_encoder.mask_embed.conv3.", "prompt_encoder.mask_downscaling.6."},
      {"prompt_encoder.shared_embedding.positional_embedding",
       "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"},
      {"shared_image_embedding.positional_embedding",
       "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"},
      {"no_memory_embedding", "no_mem_embed"},
      // Sam2VideoModel's; no image needs them.
      {"no_memory_positional_encoding", "no_mem_pos_enc"},
      {"memory_temporal_positional_encoding", "maskmem_tpos_enc"},
      {"no_object_pointer", "no_obj_ptr"},
      {"occlusion_spatial_embedding_parameter", "no_obj_embed_spatial"},
      {"object_pointer_proj.", "obj_ptr_proj."},
      {"temporal_positional_encoding_projection_layer.", "obj_ptr_tpos_proj."},
      {"mask_decoder.upscale_conv1.", "mask_decoder.output_upscaling.0."},
      {"mask_decoder.upscale_layer_norm.", "mask_decoder.output_upscaling.1."},
      {"mask_decoder.upscale_conv2.", "mask_decoder.output_upscaling.3."},
      // HQ-SAM's.
      {"mask_decoder.hq_token.", "mask_decoder.hf_token."},
      {"mask_decoder.hq_mask_mlp.", "mask_decoder.hf_mlp."},
      {"mask_decoder.compress_vit_conv1.", "mask_decoder.compress_vit_feat.0."},
      {"mask_decoder.compress_vit_norm.", "mask_decoder.compress_vit_feat.1."},
      {"mask_decoder.compress_vit_conv2.", "mask_decoder.compress_vit_feat.3."},
      {"mask_decoder.encoder_conv1.", "mask_decoder.embedding_encoder.0."},
      {"mask_decoder.encoder_norm.", "mask_decoder.embedding_encoder.1."},
      {"mask_decoder.encoder_conv2.", "mask_decoder.embedding_encoder.3."},
      {"mask_decoder.mask_conv1.", "mask_decoder.embedding_maskfeature.0."},
      {"mask_decoder.mask_norm.", "mask_decoder.embedding_maskfeature.1."},
      {"mask_decoder.mask_conv2.", "mask_decoder.embedding_maskfeature.3."},
  };
  return *names;
}

// The official name of a perceptron's layer: PATH.proj_in, PATH.layers.N and PATH.proj_out become
// PATH.layers.0, PATH.layers.N+1 and the last one. Other names stay.
std::string PerceptronName(const std::string& name, const checkpoint::TensorIndex& tensors) {
  std::vector<std::string> parts = absl::StrSplit(name, '.');  // …, "proj_in", "weight"
  const std::size_t count = parts.size();
  if (count < 3) return name;
  if (parts[count - 2] == "proj_in" || parts[count - 2] == "proj_out") {
    const std::string path = absl::StrJoin(parts.begin(), parts.end() - 2, ".");
    const std::int64_t inner = tensors.CountIndexed(path + ".layers.");
    return absl::StrCat(path, ".layers.", parts[count - 2] == "proj_in" ? 0 : inner + 1, ".",
                        parts.back());
  }
  std::int64_t index = 0;
  if (parts[count - 3] != "layers" || !absl::SimpleAtoi(parts[count - 2], &index)) return name;
  const std::string path = absl::StrJoin(parts.begin(), parts.end() - 3, ".");
  if (!tensors.HasPrefix(path + ".proj_in.")) return name;
  return absl::StrCat(path, ".layers.", index + 1, ".", parts.back());
}

std::string OfficialName(const std::string& name, const checkpoint::TensorIndex& tensors,
                         bool is_sam2) {
  std::string official = PerceptronName(name, tensors);
  for (const auto& [theirs, ours] : Beginnings()) {
    if (absl::StartsWith(official, theirs)) {
      official = absl::StrCat(ours, absl::string_view(official).substr(theirs.size()));
      break;
    }
  }
  official = absl::StrReplaceAll(official, Components());
  if (!is_sam2) return official;
  if (absl::StartsWith(official, "image_encoder.neck.convs.")) {
    return absl::StrReplaceAll(official, {{".weight", ".conv.weight"}, {".bias", ".conv.bias"}});
  }
  const bool prompted =
      absl::StartsWith(official, "prompt_encoder.") || absl::StartsWith(official, "mask_decoder.");
  return prompted ? "sam_" + official : official;
}

// Row `row` of a matrix, as a matrix of one row.
checkpoint::TensorView RowOf(const checkpoint::TensorView& matrix, std::int64_t row) {
  checkpoint::TensorView view = matrix;
  view.shape[0] = 1;
  view.data += row * matrix.strides[0] * static_cast<std::int64_t>(SizeOf(matrix.dtype));
  return view;
}

}  // namespace

bool HasHuggingFaceNames(const checkpoint::StateDict& state_dict) {
  return checkpoint::TensorIndex(state_dict).HasPrefix("vision_encoder.");
}

checkpoint::StateDict FromHuggingFaceNames(const checkpoint::StateDict& state_dict) {
  const checkpoint::TensorIndex tensors(state_dict);
  const bool is_sam2 = tensors.HasPrefix("vision_encoder.backbone.");
  checkpoint::StateDict official;
  std::set<std::string> taken;
  for (const auto& [name, view] : state_dict) {
    if (name == "prompt_encoder.point_embed.weight" && view.shape.size() == 2 &&
        view.shape[0] <= 64) {
      for (std::int64_t row = 0; row < view.shape[0]; ++row) {
        official.emplace_back(
            absl::StrCat(is_sam2 ? "sam_" : "", "prompt_encoder.point_embeddings.", row, ".weight"),
            RowOf(view, row));
      }
      continue;
    }
    std::string renamed = OfficialName(name, tensors, is_sam2);
    if (taken.insert(renamed).second) official.emplace_back(std::move(renamed), view);
  }
  return official;
}

}  // namespace segmenter
