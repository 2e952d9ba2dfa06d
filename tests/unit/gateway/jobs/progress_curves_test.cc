#include "gateway/jobs/progress_curves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <optional>
#include <string>

namespace gateway::jobs {
namespace {

namespace json = boost::json;
using ::testing::IsEmpty;
using ::testing::Le;

duet::trainer::v1::Progress At(std::uint32_t step, std::optional<double> loss,
                               std::optional<double> score = std::nullopt) {
  duet::trainer::v1::Progress progress;
  progress.set_step(step);
  if (loss) progress.set_loss(*loss);
  if (score) progress.set_score(*score);
  return progress;
}

TEST(ProgressCurvesTest, EachStepIsAPointWithWhatIsKnown) {
  ProgressCurves curves;

  curves.Note("7-a", At(0, std::nullopt));  // nothing is known yet
  curves.Note("7-a", At(1, 0.5));
  curves.Note("7-a", At(1, 0.5));  // asked again before the next step
  curves.Note("7-a", At(2, 0.25, 0.75));
  curves.Note("8-b", At(1, 2.0));

  EXPECT_EQ(curves.Of("7-a"),
            (json::array{json::array{1, 0.5, nullptr}, json::array{2, 0.25, 0.75}}));
  EXPECT_EQ(curves.Of("8-b").size(), 1U);
  EXPECT_THAT(curves.Of("9-c"), IsEmpty());
}

TEST(ProgressCurvesTest, ALongTrainingKeepsItsShapeWithinBounds) {
  ProgressCurves curves;

  for (std::uint32_t step = 1; step <= 100'000; ++step) curves.Note("7-a", At(step, 1.0 / step));

  const json::array curve = curves.Of("7-a");
  EXPECT_THAT(curve.size(), Le(ProgressCurves::kMaxPoints));
  EXPECT_GE(curve.size(), ProgressCurves::kMaxPoints / 3);
  EXPECT_EQ(curve.front().at(0), 1) << "its beginning";
  EXPECT_GE(curve.back().at(0).to_number<int>(), 95'000) << "and where it is";
}

TEST(ProgressCurvesTest, ATrainingThatGoesOnFromItsLastSaveTakesBackWhatWasLost) {
  ProgressCurves curves;
  for (const std::uint32_t step : {1, 2, 3, 4}) curves.Note("7-a", At(step, 1.0));

  curves.Note("7-a", At(3, 0.5));

  EXPECT_EQ(curves.Of("7-a").size(), 3U);
  EXPECT_EQ(curves.Of("7-a").back(), (json::array{3, 0.5, nullptr}));
}

TEST(ProgressCurvesTest, WhatIsGoneIsForgotten) {
  ProgressCurves curves;
  curves.Note("7-a", At(1, 0.5));
  curves.Note("8-b", At(1, 0.5));

  curves.Forget([](const std::string& job) { return job == "7-a"; });

  EXPECT_THAT(curves.Of("7-a"), IsEmpty());
  EXPECT_EQ(curves.Of("8-b").size(), 1U);
}

}  // namespace
}  // namespace gateway::jobs
