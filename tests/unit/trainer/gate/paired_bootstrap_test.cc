#include "trainer/gate/paired_bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

#include "trainer/scenes/random.h"

namespace trainer {
namespace {

// A standard deviation estimated from 500 draws is off by 1 / sqrt(2 * 500), 3.2 %, mostly.
constexpr double kOfDraws = 0.1;

// Of means: image i has the values old_values[i] and new_values[i].
std::optional<Difference> DifferenceOfMeans(const std::vector<double>& old_values,
                                            const std::vector<double>& new_values,
                                            const BootstrapOptions& options) {
  const auto mean = [](const std::vector<double>& values, std::span<const int> counts) {
    return std::inner_product(values.begin(), values.end(), counts.begin(), 0.0) /
           static_cast<double>(values.size());
  };
  const auto measure = [&](std::span<const int> counts) {
    ScorePairs pairs(1);
    if (!counts.empty()) pairs[0] = ScorePair{mean(old_values, counts), mean(new_values, counts)};
    return pairs;
  };
  return PairedBootstrap(old_values.size(), measure, options)[0];
}

// Differences 0, 1, 2, 3, 4: their standard deviation is sqrt(10 / 4), that of their mean
// sqrt(10 / 4 / 5).
TEST(PairedBootstrapTest, TheErrorOfAMeanIsThatOfTheTextbook) {
  const std::vector<double> old_values{0.5, 0.5, 0.5, 0.5, 0.5};
  const std::vector<double> new_values{0.5, 1.5, 2.5, 3.5, 4.5};

  const auto difference = DifferenceOfMeans(old_values, new_values, {});

  EXPECT_DOUBLE_EQ(difference->old_score, 0.5);
  EXPECT_DOUBLE_EQ(difference->new_score, 2.5);
  EXPECT_DOUBLE_EQ(difference->value(), 2);
  EXPECT_EQ(difference->images, 5);
  const double error = std::sqrt(10.0 / 4 / 5);
  EXPECT_NEAR(difference->error, error, kOfDraws * error);
}

// What varies from image to image but is the same for both models says nothing of the difference.
TEST(PairedBootstrapTest, HardImagesAreHardForBoth) {
  Random random(3);
  std::vector<double> old_values;
  std::vector<double> new_values;
  for (int i = 0; i < 50; ++i) {
    old_values.push_back(random.Uniform(0, 1));
    new_values.push_back(old_values.back() + 0.25);
  }
  const auto difference = DifferenceOfMeans(old_values, new_values, {});
  EXPECT_NEAR(difference->value(), 0.25, 1e-12);
  EXPECT_NEAR(difference->error, 0, 1e-12);
}

// Student's quantiles for 4 degrees of freedom: 2.1318 at 0.95, 2.9985 at 0.98.
TEST(PairedBootstrapTest, BoundsAreStudents) {
  const Difference difference{.old_score = 0.25, .new_score = 0.5, .images = 5, .error = 0.125};
  EXPECT_NEAR(difference.AtLeast(0.95), 0.25 - 2.1318 * 0.125, 1e-4);
  EXPECT_NEAR(difference.AtMost(0.98), 0.25 + 2.9985 * 0.125, 1e-4);
}

TEST(PairedBootstrapTest, OneImageSaysNothing) {
  const auto difference = DifferenceOfMeans(std::vector{0.25}, std::vector{0.75}, {});
  EXPECT_DOUBLE_EQ(difference->value(), 0.5);
  EXPECT_TRUE(std::isinf(difference->error));
  EXPECT_EQ(difference->AtLeast(0.9), -INFINITY);
  EXPECT_EQ(difference->AtMost(0.9), INFINITY);
  EXPECT_EQ(DifferenceOfMeans({}, {}, {}), std::nullopt);
}

TEST(PairedBootstrapTest, TheSeedDecides) {
  const std::vector<double> old_values{0, 0, 0, 0};
  const std::vector<double> new_values{0, 1, 3, 7};
  const auto error = [&](std::uint64_t seed) {
    return DifferenceOfMeans(old_values, new_values, {.draws = 100, .seed = seed})->error;
  };
  EXPECT_EQ(error(1), error(1));
  EXPECT_NE(error(1), error(2));
}

// The second score exists in draws that have the first image.
TEST(PairedBootstrapTest, AScoreThatADrawDoesNotHaveIsLeftOutOfIt) {
  int without = 0;
  const auto measure = [&](std::span<const int> counts) {
    ScorePairs pairs{std::nullopt, ScorePair{0.25, 0.75}};
    if (counts[0] == 0) pairs[1].reset();
    without += !pairs[1];
    return pairs;
  };
  const auto differences = PairedBootstrap(3, measure, {.draws = 100, .seed = 1});
  EXPECT_GT(without, 0);
  ASSERT_EQ(differences.size(), 2u);
  EXPECT_EQ(differences[0], std::nullopt);
  EXPECT_DOUBLE_EQ(differences[1]->value(), 0.5);
  EXPECT_DOUBLE_EQ(differences[1]->error, 0);
}

}  // namespace
}  // namespace trainer
