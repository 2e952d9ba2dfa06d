#include "segmenter_service/modeling/sam_config.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"

namespace segmenter {
namespace {

using duet_testing::StatusIs;
using testing::AllOf;
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

TEST(InferConfigTest, TellsOtherFamiliesApart) {
  const checkpoint::TensorView any = Golden().front().second;
  ExpectRefused({{"image_encoder.trunk.pos_embed", any}}, "SAM 2");
  ExpectRefused({{"image_encoder.patch_embed.seq.0.c.weight", any}}, "MobileSAM");
  ExpectRefused({{"image_encoder.pos_embed", any}, {"mask_decoder.hf_token.weight", any}},
                "HQ-SAM");
  ExpectRefused({{"backbone.stem.0.conv.weight", any}, {"bbox_head.rtm_cls.0.weight", any}},
                "duet-detector");
  ExpectRefused({{"conv1.weight", any}}, "the first of its 1 is 'conv1.weight'");
  ExpectRefused({}, "the file holds no tensors");
}

}  // namespace
}  // namespace segmenter
