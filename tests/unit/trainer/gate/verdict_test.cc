#include "trainer/gate/verdict.h"

#include <gmock/gmock.h>

#include <limits>

namespace trainer {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// With so many images Student's quantiles are those of the normal distribution: 1.28 at 0.9, 2.05
// at 0.98.
constexpr int kMany = 10'000;

Difference From(double old_score, double new_score, double error, int images = kMany) {
  return {.old_score = old_score, .new_score = new_score, .images = images, .error = error};
}

Verdict OfWhole(const Difference& whole) { return Decide("AP", whole, {}, whole.images); }

TEST(VerdictTest, BetterIsAGainAndAlmostSurelyNoLoss) {
  // 0.06 - 2.05 * 0.034 = -0.0097, which is above -0.01; 0.06 - 1.28 * 0.034 = 0.0165.
  const Verdict verdict = OfWhole(From(0.5, 0.56, 0.034));
  EXPECT_EQ(verdict.decision, Decision::kBetter);
  EXPECT_THAT(verdict.reason, AllOf(HasSubstr("AP"), HasSubstr("0.500"), HasSubstr("0.560"),
                                    HasSubstr("10000 images"), HasSubstr("by 0.016 at least")));
  EXPECT_EQ(verdict.images_needed, 0);
  // 0.06 - 2.05 * 0.035 = -0.0119
  EXPECT_EQ(OfWhole(From(0.5, 0.56, 0.035)).decision, Decision::kUndecided);
  // No loss that matters, but no gain to be sure of: 0.003 - 1.28 * 0.004 = -0.002.
  EXPECT_NE(OfWhole(From(0.5, 0.503, 0.004)).decision, Decision::kBetter);
}

TEST(VerdictTest, NotBetterGainsNothingThatMatters) {
  // 0.003 + 1.28 * 0.004 = 0.0081
  EXPECT_EQ(OfWhole(From(0.5, 0.503, 0.004)).decision, Decision::kNotBetter);
  // 0.003 + 1.28 * 0.006 = 0.0107
  EXPECT_EQ(OfWhole(From(0.5, 0.503, 0.006)).decision, Decision::kUndecided);
  EXPECT_EQ(OfWhole(From(0.5, 0.3, 0.05)).decision, Decision::kNotBetter);
  EXPECT_EQ(OfWhole(From(0.5, 0.5, 0)).decision, Decision::kNotBetter);
}

TEST(VerdictTest, AFewImagesAreLessSureThanTheirErrorSays) {
  EXPECT_EQ(OfWhole(From(0.5, 0.6, 0.04, kMany)).decision, Decision::kBetter);
  // Student's quantile for 3 degrees of freedom is 3.48 at 0.98.
  EXPECT_EQ(OfWhole(From(0.5, 0.6, 0.04, 4)).decision, Decision::kUndecided);
}

TEST(VerdictTest, NoClassThatWasGoodMayFall) {
  // 0.7 - 0.9 + 2.05 * 0.07 = -0.056
  const ComparedPart fallen{"star", From(0.9, 0.7, 0.07)};
  const Verdict verdict =
      Decide("AP", From(0.5, 0.6, 0.01), {{"cat", From(0.9, 0.95, 0.01)}, fallen}, 80);
  EXPECT_EQ(verdict.decision, Decision::kNotBetter);
  EXPECT_THAT(verdict.fallen, ElementsAre("star"));
  EXPECT_THAT(verdict.reason, HasSubstr("star from 0.90 to 0.70"));

  // 0.7 - 0.9 + 2.05 * 0.08 = -0.036: perhaps by chance.
  const ComparedPart perhaps{"star", From(0.9, 0.7, 0.08)};
  EXPECT_EQ(Decide("AP", From(0.5, 0.6, 0.01), {perhaps}, 80).decision, Decision::kBetter);
  const ComparedPart was_bad{"star", From(0.4, 0.1, 0.01)};
  EXPECT_EQ(Decide("AP", From(0.5, 0.6, 0.01), {was_bad}, 80).decision, Decision::kBetter);
}

// The gain needs an error of 0.05 / 2.05 or less: (0.1 / 0.0244)^2 = 16.8 times as many images.
TEST(VerdictTest, UndecidedSaysHowManyImagesWouldDecide) {
  const Verdict verdict = OfWhole(From(0.5, 0.54, 0.1, 1000));
  EXPECT_EQ(verdict.decision, Decision::kUndecided);
  EXPECT_NEAR(verdict.images_needed, 16'870, 200);
  EXPECT_THAT(verdict.reason, HasSubstr(std::to_string(verdict.images_needed)));
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
