#include "prelabel/translate.h"

#include <gmock/gmock.h>

#include "tests/testing/status_matchers.h"

namespace prelabel {
namespace {

namespace detector = duet::detector::v1;
namespace segmenter = duet::segmenter::v1;
using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kInternal = absl::StatusCode::kInternal;

TEST(TranslateTest, ADetectRequestHasTheSettingsAndMasksIfTheyAreNeeded) {
  Settings settings;
  settings.score_threshold = 0.25;
  EXPECT_EQ(ToDetectRequest(settings, true).score_threshold(), 0.25f);
  EXPECT_FALSE(ToDetectRequest(settings, true).has_max_detections());
  EXPECT_FALSE(ToDetectRequest(settings, true).omit_masks());
  EXPECT_TRUE(ToDetectRequest(settings, false).omit_masks());
  EXPECT_FALSE(ToDetectRequest(settings, true).has_class_agnostic());
  for (const bool value : {true, false}) {
    settings.class_agnostic = value;
    EXPECT_TRUE(ToDetectRequest(settings, true).has_class_agnostic());
    EXPECT_EQ(ToDetectRequest(settings, true).class_agnostic(), value);
  }
  settings.max_detections = 7;
  settings.mask_source = MaskSource::kSam;
  EXPECT_EQ(ToDetectRequest(settings, true).max_detections(), 7u);
  EXPECT_TRUE(ToDetectRequest(settings, true).omit_masks());
}

TEST(TranslateTest, SlicesAreAskedForInPixels) {
  Settings settings;
  EXPECT_FALSE(ToDetectRequest(settings, true).has_slicing());
  settings.slice = Slicing{.tile = 1023, .overlap = 0.2};

  const detector::Slicing slicing = ToDetectRequest(settings, true).slicing();

  EXPECT_EQ(slicing.tile_size(), 1023u);
  EXPECT_EQ(slicing.overlap(), 204u);
  EXPECT_EQ(slicing.method(), detector::JOIN_METHOD_UNSPECIFIED) << "the detector knows its boxes";
  EXPECT_EQ(slicing.metric(), detector::OVERLAP_METRIC_IOS);
  EXPECT_EQ(slicing.match_threshold(), 0.5f);
  EXPECT_FALSE(slicing.omit_whole_image());
  const std::pair<SliceJoin, detector::JoinMethod> kJoins[] = {
      {SliceJoin::kNms, detector::JOIN_METHOD_NMS},
      {SliceJoin::kNmm, detector::JOIN_METHOD_NMM},
      {SliceJoin::kGreedyNmm, detector::JOIN_METHOD_GREEDY_NMM}};
  for (const auto& [join, method] : kJoins) {
    settings.slice = Slicing{.tile = 64, .join = join, .metric = SliceMetric::kIou};
    EXPECT_EQ(ToDetectRequest(settings, true).slicing().method(), method);
    EXPECT_EQ(ToDetectRequest(settings, true).slicing().metric(), detector::OVERLAP_METRIC_IOU);
  }
}

TEST(TranslateTest, ForTheScoreWeakObjectsAreAskedForAndTakenAwayAgain) {
  Settings settings;
  settings.score = Score::kUncertainty;
  settings.max_detections = 2;
  EXPECT_EQ(ToDetectRequest(settings, true).score_threshold(), 0.05f);
  EXPECT_FALSE(ToDetectRequest(settings, true).has_max_detections());
  const std::vector<label_studio::Object> found = {{"a", 0.9f}, {"b", 0.8f}, {"c", 0.5f}};

  std::vector<label_studio::Object> best = found;
  TakeWeak(settings, &best);
  EXPECT_THAT(best, ElementsAre(testing::Field(&label_studio::Object::class_name, "a"),
                                testing::Field(&label_studio::Object::class_name, "b")));
  best = found;
  settings.score_threshold = 0.8f;
  TakeWeak(settings, &best);
  EXPECT_THAT(best, ElementsAre(testing::Field(&label_studio::Object::class_name, "a")))
      << "a score has to be above the threshold";
  settings.score_threshold = 0.01;
  EXPECT_EQ(ToDetectRequest(settings, true).score_threshold(), 0.01f);
}

TEST(TranslateTest, AMaskThatIsNoneIsAnError) {
  detector::DetectResponse response;
  detector::Detection& detection = *response.add_detections();
  detection.set_label("cat");
  ASSERT_OK_AND_ASSIGN(const auto objects, ToObjects(response));
  EXPECT_EQ(objects.at(0).class_name, "cat");
  EXPECT_FALSE(objects.at(0).mask.has_value());

  detection.mutable_mask()->set_width(4);
  detection.mutable_mask()->set_height(4);
  detection.mutable_mask()->set_counts("too short");

  EXPECT_THAT(ToObjects(response), StatusIs(kInternal, HasSubstr("the detector sent a bad mask")));
}

TEST(TranslateTest, EachBoxIsAPrompt) {
  const segmenter::SegmentRequest request = ToSegmentRequest({{1, 2, 3, 4}, {5, 6, 7, 8}});

  ASSERT_EQ(request.prompts_size(), 2);
  EXPECT_EQ(request.prompts(1).box().x_min(), 5);
  EXPECT_EQ(request.prompts(1).box().y_max(), 8);
  EXPECT_THAT(request.formats(), ElementsAre(segmenter::MASK_FORMAT_ROW_RUNS));
  EXPECT_FALSE(request.refine());
}

TEST(TranslateTest, APromptIsScaledToTheImageAndOneClickGetsSeveralMasks) {
  label_studio::InteractivePrompt prompt;
  prompt.size = {100, 50};
  prompt.points = {{{10, 20}, false}};

  const segmenter::SegmentRequest click = ToSegmentRequest(prompt, {200, 100}, 256);

  ASSERT_EQ(click.prompts_size(), 1);
  EXPECT_EQ(click.prompts(0).points(0).x(), 20);
  EXPECT_EQ(click.prompts(0).points(0).y(), 40);
  EXPECT_EQ(click.prompts(0).points(0).label(), 0);
  EXPECT_TRUE(click.multimask_output());
  EXPECT_TRUE(click.refine());

  prompt.points.push_back({{30, 20}, true});
  const segmenter::SegmentRequest clicks = ToSegmentRequest(prompt, {200, 100}, 256);
  EXPECT_FALSE(clicks.multimask_output()) << "two clicks say what is meant";
  EXPECT_EQ(clicks.prompts(0).points(1).label(), 1);

  prompt.box = vision::Box{0, 0, 50, 50};
  prompt.mask = vision::Mask{prompt.size, {{0, 0, 50}}};
  const segmenter::SegmentRequest drawn = ToSegmentRequest(prompt, prompt.size, 8);
  EXPECT_FALSE(drawn.multimask_output());
  EXPECT_EQ(drawn.prompts(0).mask_logits().size(), 8 * 8 * sizeof(float));
  EXPECT_FALSE(ToSegmentRequest(prompt, {200, 100}, 8).prompts(0).has_mask_logits())
      << "a mask of another size is dropped";
}

TEST(TranslateTest, TheBestMaskOfEachPromptIsTaken) {
  segmenter::SegmentResponse response;
  segmenter::PromptResult& result = *response.add_results();
  EXPECT_THAT(BestMasks(response, 2), StatusIs(kInternal, HasSubstr("1 of 2 prompts")));
  EXPECT_THAT(BestMasks(response, 1), StatusIs(kInternal, HasSubstr("sent no mask")));

  for (const float score : {0.5f, 0.75f, 0.25f}) {
    segmenter::Mask& mask = *result.add_masks();
    mask.set_iou_score(score);
    mask.mutable_row_runs()->set_width(2);
    mask.mutable_row_runs()->set_height(2);
    mask.mutable_row_runs()->add_counts(0);
    mask.mutable_row_runs()->add_counts(4);
  }
  ASSERT_OK_AND_ASSIGN(const auto masks, BestMasks(response, 1));
  ASSERT_EQ(masks.size(), 1u);
  EXPECT_EQ(masks[0].score, 0.75f);
  EXPECT_EQ(masks[0].mask.size, (vision::Size{2, 2}));

  result.mutable_masks(1)->mutable_row_runs()->set_width(3);
  EXPECT_THAT(BestMasks(response, 1), StatusIs(kInternal, HasSubstr("bad mask")));
}

}  // namespace
}  // namespace prelabel
