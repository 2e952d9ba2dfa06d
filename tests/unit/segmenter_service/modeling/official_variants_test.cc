// Every official network of SAM's families, number by number. The values are those of upstream:
// segment_anything/build_sam.py, mobile_sam/build_sam.py (MobileSAM and HQ-SAM's tiny), sam2's
// configs/sam2.1/*.yaml. A small golden has windows and heads of its own, so no parity test sees
// a wrong number here.
#include <gmock/gmock.h>

#include <cstdint>
#include <string>
#include <vector>

#include "segmenter_service/modeling/sam2_config.h"
#include "segmenter_service/modeling/sam_config.h"
#include "segmenter_service/modeling/tiny_vit_config.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/segmenter_service/official_file.h"

namespace segmenter {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using Numbers = std::vector<std::int64_t>;

void ExpectOfficialDecoder(const PromptedConfig& config, MaskDecoderConfig::Kind kind) {
  EXPECT_EQ(config.embed_dim, 256);
  EXPECT_EQ(config.prompt_encoder.mask_in_chans, 16);
  EXPECT_EQ(config.mask_decoder.kind, kind);
  EXPECT_EQ(config.mask_decoder.depth, 2);
  EXPECT_EQ(config.mask_decoder.num_heads, 8);
  EXPECT_EQ(config.mask_decoder.mlp_dim, 2048);
  EXPECT_EQ(config.mask_decoder.attention_downsample, 2);
  EXPECT_EQ(config.mask_decoder.num_mask_tokens, 4);
  EXPECT_EQ(config.mask_decoder.iou_head_depth, 3);
  EXPECT_EQ(config.mask_decoder.iou_head_hidden, 256);
}

struct Vit {
  std::string name;
  std::int64_t embed_dim, depth, num_heads;
  Numbers global_attn_indexes;
};

class OfficialVitTest : public testing::TestWithParam<Vit> {};

TEST_P(OfficialVitTest, HasUpstreamsNumbers) {
  const Vit& want = GetParam();
  ASSERT_OK_AND_ASSIGN(const SamConfig config, InferConfig(ReadManifest(want.name)));

  EXPECT_EQ(config.Name(), want.name);
  const ImageEncoderConfig& encoder = config.image_encoder;
  EXPECT_EQ(encoder.image_size, 1024);
  EXPECT_EQ(encoder.patch_size, 16);
  EXPECT_EQ(encoder.embed_dim, want.embed_dim);
  EXPECT_EQ(encoder.num_heads, want.num_heads);
  EXPECT_EQ(encoder.mlp_dim, 4 * want.embed_dim);
  Numbers windows(want.depth, 14);
  for (const std::int64_t block : want.global_attn_indexes) windows[block] = 0;
  EXPECT_THAT(encoder.window_sizes, ElementsAreArray(windows));
  const bool hq = want.name.find("-hq-") != std::string::npos;
  ExpectOfficialDecoder(config, hq ? MaskDecoderConfig::Kind::kHq : MaskDecoderConfig::Kind::kSam);
  EXPECT_EQ(config.mask_decoder.vit_dim, hq ? want.embed_dim : 0);
  EXPECT_EQ(config.low_res_size(), 256);
}

INSTANTIATE_TEST_SUITE_P(BuildSam, OfficialVitTest,
                         testing::Values(Vit{"sam-vit-b", 768, 12, 12, {2, 5, 8, 11}},
                                         Vit{"sam-vit-l", 1024, 24, 16, {5, 11, 17, 23}},
                                         Vit{"sam-vit-h", 1280, 32, 16, {7, 15, 23, 31}},
                                         Vit{"sam-hq-vit-b", 768, 12, 12, {2, 5, 8, 11}}));

class OfficialTinyVitTest : public testing::TestWithParam<const char*> {};

TEST_P(OfficialTinyVitTest, HasUpstreamsNumbers) {
  Sidecar none("");
  ASSERT_OK_AND_ASSIGN(const MobileSamConfig config,
                       InferMobileSamConfig(ReadManifest(GetParam()), none));

  EXPECT_EQ(config.Name(), GetParam());
  EXPECT_EQ(config.image_encoder.image_size, 1024);
  EXPECT_EQ(config.image_encoder.grid(), 64);
  const auto column = [&](std::int64_t TinyViTConfig::Layer::*field) {
    Numbers numbers;
    for (const TinyViTConfig::Layer& layer : config.image_encoder.layers) {
      numbers.push_back(layer.*field);
    }
    return numbers;
  };
  EXPECT_THAT(column(&TinyViTConfig::Layer::dim), ElementsAre(64, 128, 160, 320));
  EXPECT_THAT(column(&TinyViTConfig::Layer::depth), ElementsAre(2, 2, 6, 2));
  EXPECT_THAT(column(&TinyViTConfig::Layer::hidden), ElementsAre(256, 512, 640, 1280));
  // The first layer convolves; upstream's num_heads and window_sizes of it are never used.
  EXPECT_THAT(column(&TinyViTConfig::Layer::num_heads), ElementsAre(0, 4, 5, 10));
  EXPECT_THAT(column(&TinyViTConfig::Layer::window), ElementsAre(0, 7, 14, 7));
  Numbers strides = column(&TinyViTConfig::Layer::stride);
  strides.pop_back();  // the last layer has no downsampling
  EXPECT_THAT(strides, ElementsAre(2, 2, 1));
  const bool hq = std::string(GetParam()) != "mobile-sam";
  ExpectOfficialDecoder(config, hq ? MaskDecoderConfig::Kind::kHq : MaskDecoderConfig::Kind::kSam);
  EXPECT_EQ(config.mask_decoder.vit_dim, hq ? 160 : 0);
}

INSTANTIATE_TEST_SUITE_P(BuildSam, OfficialTinyVitTest,
                         testing::Values("mobile-sam", "sam-hq-vit-tiny"));

struct Hiera {
  std::string name;
  std::int64_t embed_dim, num_heads;
  Numbers stages, global_att_blocks, window_spec, background;
};

class OfficialHieraTest : public testing::TestWithParam<Hiera> {};

TEST_P(OfficialHieraTest, HasUpstreamsNumbers) {
  const Hiera& want = GetParam();
  Sidecar none("");
  ASSERT_OK_AND_ASSIGN(const Sam2Config config, InferSam2Config(ReadManifest(want.name), none));

  EXPECT_EQ(config.Name(), want.name);
  EXPECT_TRUE(config.is_2_1);
  const HieraConfig& trunk = config.image_encoder;
  EXPECT_EQ(trunk.image_size, 1024);
  EXPECT_EQ(trunk.embed_dim, want.embed_dim);
  EXPECT_EQ(trunk.num_heads, want.num_heads);
  EXPECT_EQ(trunk.stages, want.stages);
  EXPECT_EQ(trunk.global_att_blocks, want.global_att_blocks);
  EXPECT_EQ(trunk.window_spec, want.window_spec);
  EXPECT_EQ(trunk.window_pos_embed_bkg_spatial_size, want.background);
  EXPECT_EQ(trunk.mlp_ratio, 4);
  EXPECT_EQ(config.grid(), 64);
  ExpectOfficialDecoder(config, MaskDecoderConfig::Kind::kSam2);
  // sam2.build_sam's hydra_overrides_extra.
  EXPECT_TRUE(config.mask_decoder.dynamic_multimask_via_stability);
  EXPECT_FLOAT_EQ(config.mask_decoder.dynamic_multimask_stability_delta, 0.05f);
  EXPECT_FLOAT_EQ(config.mask_decoder.dynamic_multimask_stability_thresh, 0.98f);
}

INSTANTIATE_TEST_SUITE_P(
    Configs, OfficialHieraTest,
    testing::Values(
        Hiera{"sam2.1-hiera-tiny", 96, 1, {1, 2, 7, 2}, {5, 7, 9}, {8, 4, 14, 7}, {7, 7}},
        Hiera{"sam2.1-hiera-small", 96, 1, {1, 2, 11, 2}, {7, 10, 13}, {8, 4, 14, 7}, {7, 7}},
        Hiera{
            "sam2.1-hiera-base-plus", 112, 2, {2, 3, 16, 3}, {12, 16, 20}, {8, 4, 14, 7}, {14, 14}},
        Hiera{"sam2.1-hiera-large", 144, 2, {2, 6, 36, 4}, {23, 33, 43}, {8, 4, 16, 8}, {7, 7}}));

// As the modules of upstream's sam2_hiera_l.yaml say of themselves, once they are made.
TEST(OfficialHieraBlocksTest, OfLargeAreUpstreams) {
  Sidecar none("");
  ASSERT_OK_AND_ASSIGN(const Sam2Config config,
                       InferSam2Config(ReadManifest("sam2.1-hiera-large"), none));
  Numbers windows, heads, pools;
  for (const HieraConfig::Block& block : config.image_encoder.Blocks()) {
    if (block.pool) pools.push_back(static_cast<std::int64_t>(windows.size()));
    windows.push_back(block.window);
    heads.push_back(block.num_heads);
  }
  EXPECT_THAT(pools, ElementsAre(2, 8, 44));
  Numbers want_windows, want_heads;
  const auto append = [](std::int64_t count, std::int64_t value, Numbers& numbers) {
    numbers.insert(numbers.end(), count, value);
  };
  append(3, 8, want_windows);  // two, and the one that opens the next stage
  append(6, 4, want_windows);
  append(36, 16, want_windows);
  append(3, 8, want_windows);
  for (const int global : {23, 33, 43}) want_windows[global] = 0;
  append(2, 2, want_heads);
  append(6, 4, want_heads);
  append(36, 8, want_heads);
  append(4, 16, want_heads);
  EXPECT_EQ(windows, want_windows);
  EXPECT_EQ(heads, want_heads);
}

}  // namespace
}  // namespace segmenter
