#include "trainer/segmenter/tuning_report.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "trainer/segmenter/kept_embeddings.h"

namespace trainer {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;
using testing::Not;

ClickScores Some() { return {.box = 0.9, .clicks = {0.5, 0.6, 0.7, 0.8, 0.8125}, .objects = 3}; }

TEST(ClickScoresTest, MeansAreOverObjects) {
  ClickScores sum = Some();
  sum.Add({.box = 0.5, .clicks = {1, 1, 1, 1, 1}, .objects = 1});
  EXPECT_EQ(sum.objects, 4u);
  EXPECT_NEAR(sum.box, 0.8, 1e-12);
  EXPECT_NEAR(sum.clicks[0], 0.625, 1e-12);
  sum.Add({});
  EXPECT_NEAR(sum.box, 0.8, 1e-12);
  EXPECT_NEAR(Some().Mean(), (0.9 + 0.5 + 0.6 + 0.7 + 0.8 + 0.8125) / 6, 1e-12);
}

TEST(ClickScoresTest, ComeBackFromJson) {
  const auto back = ClickScoresFromJson(ToJson(Some()));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->box, Some().box);
  EXPECT_EQ(back->clicks, Some().clicks);
  EXPECT_EQ(back->objects, Some().objects);
  EXPECT_FALSE(ClickScoresFromJson({{"objects", 1}, {"iou_from_box", "much"}}).has_value());
}

TEST(WriteTuningReportTest, SaysWhatWasBeforeAndWhatIs) {
  ClickScores better = Some();
  better.box = 0.95;
  const std::string text = WriteTuningReport({.model = "sam-vit-b",
                                              .findings = {"1 <thing>"},
                                              .end = "Finished all 3 steps.",
                                              .measured = "best.pth",
                                              .before = Some(),
                                              .after = better});
  EXPECT_THAT(text, HasSubstr("| from a box | 0.900 | 0.950 |"));
  EXPECT_THAT(text, HasSubstr("| after 2 clicks | 0.600 | 0.600 |"));
  EXPECT_THAT(text, HasSubstr("1 \\<thing\\>"));
  EXPECT_THAT(WriteTuningReport({}), Not(HasSubstr("| from a box |")));
}

TEST(KeptEmbeddingsTest, SaysWhatIsDamaged) {
  const duet_testing::TempDir dir;
  dir.Write("kept/a", "something else");
  segmenter::NetworkSpec spec;
  spec.image_size = 64;
  spec.embedding = {{4, 8, 8}};
  const KeptEmbeddings kept(dir.path() + "/kept", spec);
  EXPECT_THAT(kept.Read("a"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("kept/a")));
  EXPECT_THAT(kept.Read("b"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace trainer
