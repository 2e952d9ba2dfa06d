// What is in the messages, field by field.
#include <gmock/gmock.h>

#include <utility>

#include "segmenter_service/rpc/mask_message.h"
#include "segmenter_service/rpc/translate.h"
#include "tests/testing/status_matchers.h"
#include "vision/mask_rle.h"

namespace segmenter {
namespace {

namespace pb = duet::segmenter::v1;
using duet_testing::IsOk;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

// 8x6 pixels: a frame from (1, 1) to (7, 5) around a hole from (2, 2) to (6, 4).
vision::Mask Frame() {
  return {{8, 6}, {{1, 1, 7}, {2, 1, 2}, {2, 6, 7}, {3, 1, 2}, {3, 6, 7}, {4, 1, 7}}};
}

TEST(MaskMessageTest, EveryFormatSaysTheSame) {
  const vision::Mask mask = Frame();
  pb::Mask message;
  const MaskFormats all{.coco_rle = true,
                        .row_runs = true,
                        .polygons = true,
                        .png = true,
                        .low_res_logits = true,
                        .polygon_tolerance_px = 0};
  EXPECT_THAT(WriteMask({mask, 0.75}, {1.0F, 2.0F}, all, &message), IsOk());

  EXPECT_EQ(message.area(), 16u);
  EXPECT_EQ(message.stability_score(), 0.75F);
  EXPECT_EQ(message.box().x_min(), 1);
  EXPECT_EQ(message.box().y_min(), 1);
  EXPECT_EQ(message.box().x_max(), 7);
  EXPECT_EQ(message.box().y_max(), 5);
  EXPECT_EQ(message.rle().width(), 8u);
  EXPECT_EQ(message.rle().height(), 6u);
  EXPECT_EQ(vision::DecodeCocoRle({8, 6}, message.rle().counts()).value(), mask);
  EXPECT_EQ(message.row_runs().width(), 8u);
  EXPECT_EQ(message.row_runs().height(), 6u);
  EXPECT_THAT(message.row_runs().counts(), ElementsAre(9, 6, 2, 1, 4, 1, 2, 1, 4, 1, 2, 6, 9));
  EXPECT_EQ(message.low_res_logits().size(), 2 * sizeof(float));
  EXPECT_TRUE(message.png().starts_with("\x89PNG"));

  ASSERT_EQ(message.polygons_size(), 2);
  EXPECT_FALSE(message.polygons(0).hole());
  EXPECT_THAT(message.polygons(0).xy(), UnorderedElementsAre(1, 1, 7, 1, 7, 5, 1, 5));
  EXPECT_TRUE(message.polygons(1).hole());
  EXPECT_THAT(message.polygons(1).xy(), UnorderedElementsAre(2, 2, 6, 2, 6, 4, 2, 4));
}

TEST(MaskMessageTest, OnlyWhatIsAskedForIsWritten) {
  pb::Mask message;
  EXPECT_THAT(WriteMask({Frame(), 1}, {}, {.row_runs = true}, &message), IsOk());
  EXPECT_TRUE(message.has_row_runs());
  EXPECT_FALSE(message.has_rle());
  EXPECT_EQ(message.polygons_size(), 0);
  EXPECT_TRUE(message.png().empty());
}

TEST(PriorityTest, ARankIsAPriority) {
  for (const auto& [rank, priority] :
       {std::pair(pb::EMBED_RANK_UNSPECIFIED, serving::Priority::kOpenedTask),
        {pb::EMBED_RANK_OPENED_TASK, serving::Priority::kOpenedTask},
        {pb::EMBED_RANK_BATCH, serving::Priority::kBatch},
        {pb::EMBED_RANK_PREFETCH, serving::Priority::kPrefetch},
        {pb::EMBED_RANK_STOCK, serving::Priority::kStock}}) {
    EXPECT_EQ(PriorityOf(rank), priority) << rank;
  }
}

}  // namespace
}  // namespace segmenter
