#include "trainer/segmenter_trainer.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <string>

#include "trainer/demo.h"
#include "trainer/samples/scene_source.h"

namespace trainer {
namespace {

segmenter::Sam TinySam() {
  at::manual_seed(1);
  segmenter::SamConfig config;
  config.image_encoder.image_size = 64;
  config.image_encoder.patch_size = 8;
  config.image_encoder.embed_dim = 32;
  config.image_encoder.num_heads = 2;
  config.image_encoder.mlp_dim = 32;
  config.image_encoder.window_sizes = {4, 0};
  config.embed_dim = 64;
  config.mask_decoder.mlp_dim = 32;
  config.mask_decoder.iou_head_hidden = 32;
  return segmenter::Sam(config);
}

double Value(const at::Tensor& scalar) { return scalar.item<double>(); }

// How alike two positions look to an attention that compares them as they are; 1: the same.
double Likeness(segmenter::Sam& sam, double x, double other_x) {
  const auto at = [&](double unit) {
    return sam->prompt_encoder->pe_layer(at::tensor({unit, 0.5}, at::kFloat));
  };
  return Value(at::cosine_similarity(at(x), at(other_x), 0));
}

// A shape's box reaches about 0.1 of the side from its middle.
TEST(InitializePromptFrequenciesTest, TheMiddleOfAShapeLooksLikeItsRimAndUnlikeTheFarEnd) {
  segmenter::Sam sam = TinySam();
  EXPECT_LT(Likeness(sam, 0.5, 0.6), 0.6);  // SAM's own

  InitializePromptFrequencies(sam);

  EXPECT_GT(Likeness(sam, 0.5, 0.6), 0.8);
  EXPECT_LT(Likeness(sam, 0.1, 0.9), 0.6);
}

TEST(InitializePositionsTest, EveryCellHasItsOwn) {
  segmenter::Sam sam = TinySam();

  InitializePositions(sam);

  const at::Tensor rows = sam->image_encoder->pos_embed.flatten(0, 2);  // [cells, C]
  const at::Tensor distances = at::cdist(rows, rows) + 100 * at::eye(rows.size(0));
  EXPECT_GT(Value(distances.min()), 0.1);
}

TEST(TieCrossAttentionTest, QueriesAndKeysProjectAlikeAcrossButNotWithin) {
  segmenter::Sam sam = TinySam();

  TieCrossAttention(sam);

  const auto parameters = sam->named_parameters();
  const auto tied = [&](const std::string& attention) {
    const std::string prefix = "mask_decoder.transformer." + attention;
    return at::equal(parameters[prefix + ".q_proj.weight"], parameters[prefix + ".k_proj.weight"]);
  };
  EXPECT_TRUE(tied("layers.0.cross_attn_token_to_image"));
  EXPECT_TRUE(tied("layers.1.cross_attn_image_to_token"));
  EXPECT_TRUE(tied("final_attn_token_to_image"));
  EXPECT_FALSE(tied("layers.0.self_attn"));
}

TEST(EnlargeTest, StretchesPositionsAndKeepsTheRest) {
  segmenter::Sam sam = TinySam();
  {  // a table that says which column a cell is in
    const at::NoGradGuard no_grad;
    sam->image_encoder->pos_embed.copy_(at::arange(8).view({1, 1, 8, 1}).expand({1, 8, 8, 32}));
  }

  segmenter::Sam large = Enlarge(sam, 128);

  EXPECT_EQ(large->config.image_encoder.grid(), 16);
  const auto before = sam->named_parameters();
  for (const auto& item : large->named_parameters()) {
    const at::Tensor& old = before[item.key()];
    if (old.sizes() == item.value().sizes()) {
      EXPECT_TRUE(at::equal(old, item.value())) << item.key();
    }
  }
  EXPECT_TRUE(at::equal(sam->prompt_encoder->pe_layer->positional_encoding_gaussian_matrix,
                        large->prompt_encoder->pe_layer->positional_encoding_gaussian_matrix));
  // Half a cell is a quarter of one more on either side; at the rim there is nothing beyond.
  const at::Tensor columns = large->image_encoder->pos_embed[0][5].select(1, 0);
  EXPECT_NEAR(Value(columns[0]), 0, 1e-6);
  EXPECT_NEAR(Value(columns[6]), 2.75, 1e-6);
  EXPECT_NEAR(Value(columns[7]), 3.25, 1e-6);
}

segmenter::Sam Trained() {
  segmenter::Sam sam = TinySam();
  const SegmenterTraining training{.schedule = {.base = 1e-3, .epochs = 4, .warmup_iterations = 1},
                                   .replicas = 2,
                                   .boxes_per_image = 2,
                                   .clicks_per_image = 1};
  const SceneSource scenes(ImagesOf(training), [](std::uint64_t n) {
    return DemoScene(1, n, {64, 64}, {.min_radius = 0.2, .max_radius = 0.3});
  });
  TrainSegmenter(training, scenes, sam);
  return sam;
}

TEST(TrainSegmenterTest, TheSameSeedGivesTheSameWeightsWithBothRoundsAndAllPromptsInUse) {
  const segmenter::Sam first = Trained();
  const segmenter::Sam second = Trained();
  const segmenter::Sam untrained = TinySam();

  const auto again = second->named_parameters();
  const auto before = untrained->named_parameters();
  for (const auto& item : first->named_parameters()) {
    EXPECT_TRUE(at::equal(item.value(), again[item.key()])) << item.key();
    EXPECT_TRUE(item.value().isfinite().all().item<bool>()) << item.key();
    EXPECT_FALSE(at::equal(item.value(), before[item.key()])) << item.key() << " never moved";
  }
}

}  // namespace
}  // namespace trainer
