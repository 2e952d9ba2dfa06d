#include "segmenter_service/modeling/sam_config.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "segmenter_service/modeling/sam2_config.h"
#include "segmenter_service/modeling/tiny_vit_config.h"
#include "tests/testing/status_matchers.h"

namespace segmenter {
namespace {

using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

checkpoint::StateDict Golden() {
  return checkpoint::ReadCheckpoint(std::string(DUET_TEST_DATA) + "/segmenter/sam_a.pth")
      ->state_dict;
}

checkpoint::TensorView& Named(checkpoint::StateDict& state_dict, const std::string& name) {
  for (auto& [key, view] : state_dict) {
    if (key == name) return view;
  }
  ADD_FAILURE() << name;
  return state_dict.front().second;
}

void ExpectRefused(const checkpoint::StateDict& state_dict, const std::string& text) {
  EXPECT_THAT(InferConfig(state_dict),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
}

TEST(InferConfigTest, ReadsEverySizeOfAReducedModel) {
  ASSERT_OK_AND_ASSIGN(const SamConfig config, InferConfig(Golden()));

  EXPECT_EQ(config.image_encoder.image_size, 1024);
  EXPECT_EQ(config.image_encoder.embed_dim, 64);
  EXPECT_EQ(config.image_encoder.num_heads, 4);
  EXPECT_EQ(config.image_encoder.mlp_dim, 256);
  EXPECT_THAT(config.image_encoder.window_sizes, ElementsAre(14, 0, 14, 0));
  EXPECT_EQ(config.embed_dim, 64);
  EXPECT_EQ(config.prompt_encoder.mask_in_chans, 16);
  EXPECT_EQ(config.mask_decoder.depth, 2);
  EXPECT_EQ(config.mask_decoder.mlp_dim, 128);
  EXPECT_EQ(config.mask_decoder.attention_downsample, 2);
  EXPECT_EQ(config.mask_decoder.num_mask_tokens, 4);
  EXPECT_EQ(config.mask_decoder.iou_head_hidden, 64);
  EXPECT_EQ(config.low_res_size(), 256);
  EXPECT_EQ(config.Name(), "sam-vit-64x4-1024");
}

TEST(InferConfigTest, NamesTheMissingTensor) {
  checkpoint::StateDict state_dict = Golden();
  std::erase_if(state_dict,
                [](const auto& entry) { return entry.first == "image_encoder.pos_embed"; });

  ExpectRefused(state_dict, "'image_encoder.pos_embed' is missing");
}

TEST(InferConfigTest, NamesFoundAndNeededShapes) {
  checkpoint::StateDict state_dict = Golden();
  Named(state_dict, "image_encoder.pos_embed").shape = {1, 64, 32, 64};

  ExpectRefused(state_dict, "'image_encoder.pos_embed' is [1x64x32x64] but should be square");
}

TEST(InferConfigTest, RefusesPatchesThatAreFinerThanMasks) {
  checkpoint::StateDict state_dict = Golden();
  Named(state_dict, "image_encoder.patch_embed.proj.weight").shape = {64, 3, 2, 2};

  ExpectRefused(state_dict, "is [64x3x2x2] but needs patches of at least 4 pixels");
}

TEST(InferConfigTest, RefusesShapesThatTheFileCannotHold) {
  checkpoint::StateDict state_dict = Golden();
  // A stride of 0 lets one number stand for a matrix of any size.
  checkpoint::TensorView& lin1 = Named(state_dict, "image_encoder.blocks.0.mlp.lin1.weight");
  lin1.shape = {16000, 64};
  lin1.strides = {0, 0};

  ExpectRefused(state_dict, "more than the file's");
}

// Of the reduced SAM 2, which is none of the official ones.
checkpoint::StateDict ReducedSam2() {
  return checkpoint::ReadCheckpoint(std::string(DUET_TEST_DATA) + "/segmenter/sam2.1_a.pth")
      ->state_dict;
}

absl::StatusOr<Sam2Config> InferWith(const std::string& sidecar_text) {
  Sidecar sidecar(sidecar_text);
  return InferSam2Config(ReducedSam2(), sidecar);
}

TEST(InferSam2ConfigTest, TheSidecarTellsWhatTheFileDoesNot) {
  ASSERT_OK_AND_ASSIGN(const Sam2Config config, InferWith(R"({
      "num_heads": 1, "global_att_blocks": [4], "window_spec": [8, 4, 14, 7],
      "dynamic_multimask_via_stability": false, "q_pool": 3})"));

  const HieraConfig& trunk = config.image_encoder;
  EXPECT_EQ(trunk.embed_dim, 12);
  EXPECT_THAT(trunk.stages, ElementsAre(1, 2, 3, 2));
  EXPECT_THAT(trunk.window_pos_embed_bkg_spatial_size, ElementsAre(7, 7));
  EXPECT_EQ(config.embed_dim, 64);
  EXPECT_TRUE(config.is_2_1);
  EXPECT_FALSE(config.mask_decoder.dynamic_multimask_via_stability);
  EXPECT_EQ(config.Name(), "sam2.1-hiera-12x8");
  std::vector<std::int64_t> windows, grids, heads;
  for (const HieraConfig::Block& block : trunk.Blocks()) {
    windows.push_back(block.window);
    grids.push_back(block.grid);
    heads.push_back(block.num_heads);
  }
  // The first block of a stage has the windows, and the grid, of the stage before.
  EXPECT_THAT(windows, ElementsAre(8, 8, 4, 4, 0, 14, 14, 7));
  EXPECT_THAT(grids, ElementsAre(256, 256, 128, 128, 64, 64, 64, 32));
  EXPECT_THAT(heads, ElementsAre(1, 2, 2, 4, 4, 4, 8, 8));
}

TEST(InferSam2ConfigTest, SaysWhatIsMissingOrWrong) {
  const auto expect = [](const std::string& sidecar, const std::string& text) {
    EXPECT_THAT(InferWith(sidecar), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  };
  expect("", "width 12 with stages of 1,2,3,2 blocks is none of the official ones");
  expect("[1]", "must be a JSON object");
  expect("{", "no JSON");
  const std::string rest = R"("global_att_blocks": [4], "window_spec": [8, 4, 14, 7]})";
  expect(R"({"num_heads": "two", )" + rest, R"("num_heads" is "two"; it must be a whole number)");
  expect(R"({"num_heads": 5, )" + rest, "num_heads is 5; it must divide 12");
  expect(R"({"num_heads": 1, "embed_dim": 96, )" + rest, "but the checkpoint's tensors say 12");
  expect(R"({"num_heads": 1, "global_att_blocks": [3], "window_spec": [8, 4, 14, 7]})",
         "opens a stage and can't be global");
  expect(R"({"num_heads": 1, "global_att_blocks": [4], "window_spec": [8, 4, 14]})",
         "must be a list of 4 whole numbers");
}

TEST(InferMobileSamConfigTest, ReadsEverySizeOfAReducedModel) {
  Sidecar none("");
  ASSERT_OK_AND_ASSIGN(
      const MobileSamConfig config,
      InferMobileSamConfig(
          checkpoint::ReadCheckpoint(std::string(DUET_TEST_DATA) + "/segmenter/mobile_sam_a.pth")
              ->state_dict,
          none));

  const auto& layers = config.image_encoder.layers;
  ASSERT_EQ(layers.size(), 4);
  EXPECT_EQ(layers[0].dim, 16);
  EXPECT_EQ(layers[0].hidden, 64);
  EXPECT_EQ(layers[2].dim, 40);
  EXPECT_EQ(layers[2].depth, 2);
  EXPECT_EQ(layers[2].num_heads, 2);
  EXPECT_EQ(layers[2].window, 14);
  EXPECT_EQ(config.image_encoder.grid(), 64);
  EXPECT_EQ(config.Name(), "mobile-sam-80x1-1-2-1");
}

}  // namespace
}  // namespace segmenter
