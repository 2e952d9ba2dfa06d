#include "trainer/gate/verdict.h"

#include <gmock/gmock.h>

#include <limits>

namespace trainer {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// With so many images Student's quantile at 0.95 is that of the normal distribution, 1.645.
constexpr int kMany = 10'000;

Difference From(double old_score, double new_score, double error, int images = kMany) {
  return {.old_score = old_score, .new_score = new_score, .images = images, .error = error};
}

Verdict OfWhole(const Difference& whole) { return Decide("AP", whole, {}, whole.images); }

TEST(VerdictTest, BetterIsAGainWithCertainty) {
  // 0.06 - 1.645 * 0.03 = 0.0107
  const Verdict verdict = OfWhole(From(0.5, 0.56, 0.03));
  EXPECT_EQ(verdict.decision, Decision::kBetter);
  EXPECT_THAT(verdict.reason, AllOf(HasSubstr("AP"), HasSubstr("0.500"), HasSubstr("0.560"),
                                    HasSubstr("10000 images"), HasSubstr("by 0.011 at least"),
                                    HasSubstr("95 % certainty")));
  EXPECT_EQ(verdict.images_needed, 0);
  // 0.06 - 1.645 * 0.037 = -0.0009
  EXPECT_EQ(OfWhole(From(0.5, 0.56, 0.037)).decision, Decision::kUndecided);
}

TEST(VerdictTest, NotBetterGainsNothingThatMatters) {
  // 0.003 + 1.645 * 0.004 = 0.0096
  EXPECT_EQ(OfWhole(From(0.5, 0.503, 0.004)).decision, Decision::kNotBetter);
  // 0.003 + 1.645 * 0.005 = 0.0112
  EXPECT_EQ(OfWhole(From(0.5, 0.503, 0.005)).decision, Decision::kUndecided);
  EXPECT_EQ(OfWhole(From(0.5, 0.3, 0.05)).decision, Decision::kNotBetter);
  EXPECT_EQ(OfWhole(From(0.5, 0.5, 0)).decision, Decision::kNotBetter);
  EXPECT_THAT(OfWhole(From(0.5, 0.3, 0.05)).reason, HasSubstr("below 0.01 with 95 % certainty"));
}

TEST(VerdictTest, AFewImagesAreLessSureThanTheirErrorSays) {
  EXPECT_EQ(OfWhole(From(0.5, 0.6, 0.05, kMany)).decision, Decision::kBetter);
  // Student's quantile for 3 degrees of freedom is 2.353.
  EXPECT_EQ(OfWhole(From(0.5, 0.6, 0.05, 4)).decision, Decision::kUndecided);
}

// An image more may tell something else: 0.1 / 4 * 2.353 = 0.059 is more than the margin of 0.01,
// and 0.1 / 20 * 1.729 = 0.0086 is less.
TEST(VerdictTest, ThatAFewImagesAgreeIsNoCertainty) {
  const Verdict few = OfWhole(From(0.9, 0.9, 0, 4));
  EXPECT_EQ(few.decision, Decision::kUndecided);
  EXPECT_EQ(few.images_needed, 18);  // 0.1 / 17 * 1.746 = 0.0103, 0.1 / 18 * 1.740 = 0.0097
  EXPECT_EQ(OfWhole(From(0.9, 0.9, 0, 20)).decision, Decision::kNotBetter);
  // A class on two images: 1 / 2 * 6.31 is more than its fall of 1.
  EXPECT_THAT(Decide("AP", From(0.5, 0.6, 0.01), {{"star", From(1, 0, 0, 2)}}, 80).fallen,
              IsEmpty());
  // On ten: 1 / 10 * 1.833.
  EXPECT_THAT(Decide("AP", From(0.5, 0.6, 0.01), {{"star", From(1, 0, 0, 10)}}, 80).fallen,
              ElementsAre("star"));
}

// 0.06 - 1.645 * 0.05 = -0.022, 0.06 - 0.842 * 0.05 = 0.018.
TEST(VerdictTest, WhatAllClassesTogetherGainSupportsTheWhole) {
  const auto with = [](double error, const Difference& pooled) {
    return Decide("AP", From(0.5, 0.56, error), {}, kMany, {}, pooled);
  };
  const Verdict supported = with(0.05, From(0.5, 0.7, 0.05));
  EXPECT_EQ(supported.decision, Decision::kBetter);
  EXPECT_THAT(supported.reason, HasSubstr("by 0.018 at least with 80 % certainty"));
  EXPECT_EQ(with(0.05, From(0.5, 0.7, 0.13)).decision, Decision::kUndecided);
  EXPECT_EQ(with(0.08, From(0.5, 0.7, 0.05)).decision, Decision::kUndecided);
  // The pooled score is enough from 10000 * (0.08 * 0.842 / 0.06)^2 images on.
  EXPECT_NEAR(with(0.08, From(0.5, 0.7, 0.05)).images_needed, 12'600, 100);
}

TEST(VerdictTest, WhatReplacesNothingMustBeUseful) {
  EXPECT_EQ(OfWhole(From(0, 0.03, 0.002)).decision, Decision::kNotBetter);
  EXPECT_EQ(OfWhole(From(0, 0.06, 0.002)).decision, Decision::kBetter);
  EXPECT_EQ(OfWhole(From(0.01, 0.04, 0.002)).decision, Decision::kBetter);
}

TEST(VerdictTest, NoClassThatWasGoodMayFall) {
  // 0.7 - 0.9 + 1.645 * 0.09 = -0.052
  const ComparedPart fallen{"star", From(0.9, 0.7, 0.09)};
  const Verdict verdict =
      Decide("AP", From(0.5, 0.6, 0.01), {{"cat", From(0.9, 0.95, 0.01)}, fallen}, 80);
  EXPECT_EQ(verdict.decision, Decision::kNotBetter);
  EXPECT_THAT(verdict.fallen, ElementsAre("star"));
  EXPECT_THAT(verdict.reason, HasSubstr("star from 0.90 to 0.70"));

  // 0.75 - 0.9 + 1.645 * 0.1 = 0.015: perhaps by chance.
  const ComparedPart perhaps{"star", From(0.9, 0.75, 0.1)};
  EXPECT_EQ(Decide("AP", From(0.5, 0.6, 0.01), {perhaps}, 80).decision, Decision::kBetter);
  const ComparedPart was_bad{"star", From(0.4, 0.1, 0.01)};
  EXPECT_EQ(Decide("AP", From(0.5, 0.6, 0.01), {was_bad}, 80).decision, Decision::kBetter);
}

// On three images no fall is certain, not even one to nothing: -1 + 2.92 / 3 = -0.03.
TEST(VerdictTest, WhatWasGoodMayNotSeemToHaveFallen) {
  const auto with = [](const Difference& star, int annotated = 0) {
    return Decide("AP", From(0.5, 0.6, 0.01, 20), {{"star", star}}, 20, {.annotated = annotated});
  };
  for (const int images : {1, 2, 3}) {
    const Difference lost =
        From(1, 0, images == 1 ? std::numeric_limits<double>::infinity() : 0, images);
    const Verdict verdict = with(lost);
    EXPECT_EQ(verdict.decision, Decision::kUndecided) << images;
    EXPECT_THAT(verdict.perhaps_fallen, ElementsAre("star"));
    EXPECT_THAT(verdict.fallen, IsEmpty());
    // 1 / 4 * 2.353 = 0.588 is less than 1 - 0.05.
    EXPECT_THAT(verdict.reason, AllOf(HasSubstr("star goes from 1.00 to 0.00 on"),
                                      HasSubstr("about 4 annotated images with it")));
    EXPECT_EQ(verdict.images_needed, (4 * 20 + images - 1) / images)
        << "as often as it is on these";
  }
  // These 20 are a fifth of the annotated images.
  EXPECT_THAT(with(From(1, 0, 0, 2), 100).reason, HasSubstr("about 20 annotated images with it"));
  EXPECT_EQ(with(From(1, 0, 0, 2), 100).images_needed, 200);
  EXPECT_EQ(with(From(1, 0.85, 0.2, 3)).decision, Decision::kBetter) << "not by much";
  EXPECT_EQ(with(From(0.4, 0, 0.1, 3)).decision, Decision::kBetter) << "it was not good";
}

// 0.06 - 1.645 * 0.03 = 0.0107; asked for the tenth time 2.576 is needed.
TEST(VerdictTest, WhoAsksAgainNeedsMoreCertainty) {
  const auto asked = [](double error, double looks) {
    return Decide("AP", From(0.5, 0.56, error), {}, kMany, {.looks = looks});
  };
  EXPECT_EQ(asked(0.03, 1).decision, Decision::kBetter);
  EXPECT_EQ(asked(0.03, 10).decision, Decision::kUndecided);
  EXPECT_GT(asked(0.03, 10).images_needed, kMany);
  const Verdict sure = asked(0.02, 10);
  EXPECT_EQ(sure.decision, Decision::kBetter);
  EXPECT_THAT(sure.reason, HasSubstr("with 99.5 % certainty"));
  EXPECT_EQ(Decide("AP", From(0.5, 0.503, 0.004), {}, kMany, {.looks = 10}).decision,
            Decision::kNotBetter);
}

// The gain needs an error of 0.04 / 1.645 or less: (0.1 / 0.0243)^2 = 16.9 times as many images.
TEST(VerdictTest, UndecidedSaysHowManyImagesWouldDecide) {
  const Verdict verdict = OfWhole(From(0.5, 0.54, 0.1, 1000));
  EXPECT_EQ(verdict.decision, Decision::kUndecided);
  EXPECT_NEAR(verdict.images_needed, 16'910, 100);
  EXPECT_THAT(verdict.reason, HasSubstr(std::to_string(verdict.images_needed)));
  const Verdict split = Decide("AP", From(0.5, 0.54, 0.1, 1000), {}, 1000, {.annotated = 5000});
  EXPECT_EQ(split.images_needed, 5 * verdict.images_needed) << "a fifth is compared on";
  EXPECT_THAT(split.reason, HasSubstr(std::to_string(split.images_needed)));
  EXPECT_LT(OfWhole(From(0.5, 0.54, 0.05, 1000)).images_needed, verdict.images_needed / 3);
}

TEST(VerdictTest, OneImageOrNoObjectDecidesNothing) {
  const Verdict one = OfWhole(From(0.5, 1, std::numeric_limits<double>::infinity(), /*images=*/1));
  EXPECT_EQ(one.decision, Decision::kUndecided);
  EXPECT_GT(one.images_needed, 1);

  const Verdict none = Decide("AP", std::nullopt, {}, 40);
  EXPECT_EQ(none.decision, Decision::kUndecided);
  EXPECT_THAT(none.reason, HasSubstr("no object on the 40 images"));
  EXPECT_GT(none.images_needed, 40);
  EXPECT_THAT(none.fallen, IsEmpty());
}

}  // namespace
}  // namespace trainer
