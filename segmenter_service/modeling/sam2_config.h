// Sizes of SAM 2 and 2.1, for images. Knows no Torch.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_SAM2_CONFIG_H_
#define DUET_SEGMENTER_SERVICE_MODELING_SAM2_CONFIG_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "segmenter_service/modeling/prompted_config.h"
#include "segmenter_service/modeling/sidecar.h"

namespace segmenter {

// The trunk. Names as in sam2's own configs. Defaults: Hiera-T.
struct HieraConfig {
  static constexpr std::int64_t kPatchStride = 4;

  std::int64_t image_size = 1024;
  std::int64_t embed_dim = 96;  // of the first stage; width and heads double with each
  std::int64_t num_heads = 1;   // of the first stage
  std::vector<std::int64_t> stages = {1, 2, 7, 2};  // blocks of each; four
  std::vector<std::int64_t> global_att_blocks = {5, 7, 9};
  std::vector<std::int64_t> window_spec = {8, 4, 14, 7};                 // side, of each stage
  std::vector<std::int64_t> window_pos_embed_bkg_spatial_size = {7, 7};  // height, width
  std::int64_t mlp_ratio = 4;

  struct Block {
    std::int64_t dim_in = 0, dim_out = 0;
    std::int64_t num_heads = 0;
    // Side of its windows; 0 attends over the whole grid. The first block of a stage still has the
    // windows of the one before.
    std::int64_t window = 0;
    std::int64_t grid = 0;  // side of its input
    bool pool = false;      // the first of a later stage: halves the grid
    bool ends_stage = false;
  };
  std::vector<Block> Blocks() const;
};

struct Sam2Config : PromptedConfig {
  HieraConfig image_encoder;
  bool is_2_1 = true;  // tells the versions apart; images don't differ

  // Side of the embedding: the third stage's.
  std::int64_t grid() const { return image_encoder.image_size / (4 * HieraConfig::kPatchStride); }
  // "sam2.1-hiera-tiny", "…-small", "…-base-plus", "…-large", or
  // "sam2.1-hiera-<embed_dim>x<depth>".
  std::string Name() const;
};

// As InferConfig of sam_config.h. What the file doesn't tell (heads, global blocks, windows) comes
// from `sidecar` or else is as in the official model of these widths and depths; InvalidArgument if
// there is none.
absl::StatusOr<Sam2Config> InferSam2Config(const checkpoint::StateDict& state_dict,
                                           Sidecar& sidecar);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_SAM2_CONFIG_H_
