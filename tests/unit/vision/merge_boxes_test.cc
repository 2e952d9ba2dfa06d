#include "vision/merge_boxes.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_to.hpp>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <tuple>

namespace vision {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

bool operator==(const ScoredBox& a, const ScoredBox& b) {
  return a.box == b.box && a.score == b.score && a.class_id == b.class_id;
}

ScoredBox BoxFrom(const boost::json::value& json) {
  const auto numbers = boost::json::value_to<std::vector<float>>(json);
  return {
      {numbers[0], numbers[1], numbers[2], numbers[3]}, numbers[4], static_cast<int>(numbers[5])};
}

std::vector<ScoredBox> BoxesFrom(const boost::json::value& json) {
  std::vector<ScoredBox> boxes;
  for (const boost::json::value& box : json.as_array()) boxes.push_back(BoxFrom(box));
  return boxes;
}

MergeOptions OptionsFrom(const boost::json::value& json) {
  const auto method = boost::json::value_to<std::string>(json.at("method"));
  return {
      .method = method == "nms"   ? MergeMethod::kNms
                : method == "nmm" ? MergeMethod::kNmm
                                  : MergeMethod::kGreedyNmm,
      .metric = json.at("metric").as_string() == "iou" ? OverlapMetric::kIou : OverlapMetric::kIos,
      .threshold = json.at("threshold").to_number<float>(),
      .class_agnostic = json.at("class_agnostic").as_bool()};
}

// By corners, as the fixture is.
std::vector<ScoredBox> Sorted(const std::vector<MergedBox>& merged) {
  std::vector<ScoredBox> boxes;
  for (const MergedBox& one : merged) boxes.push_back(one.whole);
  std::sort(boxes.begin(), boxes.end(), [](const ScoredBox& a, const ScoredBox& b) {
    const auto key = [](const ScoredBox& one) {
      return std::make_tuple(one.box.x_min, one.box.y_min, one.box.x_max, one.box.y_max, one.score,
                             one.class_id);
    };
    return key(a) < key(b);
  });
  return boxes;
}

// tools/make_merge_fixture.py made it.
TEST(MergeBoxesTest, EqualsSahi) {
  std::ifstream file(DUET_TEST_DATA "/vision/merged_by_sahi.json");
  const boost::json::value fixture =
      boost::json::parse(std::string{std::istreambuf_iterator<char>(file), {}});
  const std::vector<ScoredBox> boxes = BoxesFrom(fixture.at("boxes"));
  ASSERT_EQ(fixture.at("cases").as_array().size(), 24u);
  for (const boost::json::value& one : fixture.at("cases").as_array()) {
    SCOPED_TRACE(boost::json::serialize(one).substr(0, 90));
    const std::vector<ScoredBox> expected = BoxesFrom(one.at("merged"));

    const std::vector<ScoredBox> merged = Sorted(MergeBoxes(boxes, OptionsFrom(one)));

    ASSERT_EQ(merged.size(), expected.size());
    for (std::size_t i = 0; i < merged.size(); ++i) {
      EXPECT_TRUE(merged[i] == expected[i]) << i << ": " << merged[i].box.x_min << " "
                                            << merged[i].box.y_min << " " << merged[i].score;
    }
  }
}

TEST(MergeBoxesTest, APieceBecomesPartOfTheWholeAndSaysSo) {
  // Two halves of one object, the weaker one with a bit of the other, and an object elsewhere.
  const std::vector<ScoredBox> boxes = {
      {{100, 0, 110, 10}, 0.9F, 0}, {{4, 0, 20, 10}, 0.7F, 0}, {{0, 0, 12, 10}, 0.8F, 0}};

  const std::vector<MergedBox> merged = MergeBoxes(boxes, {});

  ASSERT_THAT(merged, SizeIs(2));
  EXPECT_EQ(merged[0].strongest, 0u);
  EXPECT_THAT(merged[0].joined, IsEmpty());
  EXPECT_EQ(merged[1].strongest, 2u);
  EXPECT_THAT(merged[1].joined, ElementsAre(1));
  EXPECT_TRUE(merged[1].whole == (ScoredBox{{0, 0, 20, 10}, 0.8F, 0}));
}

TEST(MergeBoxesTest, BoxesWithoutAreaAndNoNumbersStayAsTheyAre) {
  const std::vector<ScoredBox> boxes = {{{0, 0, 10, 10}, 0.5F, 0},
                                        {{5, 5, 5, 9}, 0.9F, 0},
                                        {{1, kNan, 9, 9}, 0.8F, 0},
                                        {{-1e38F, -1e38F, 1e38F, 1e38F}, 0.1F, 0}};

  EXPECT_THAT(MergeBoxes(boxes, {.threshold = 0.01F, .class_agnostic = true}), SizeIs(3));
}

TEST(MergeBoxesTest, BoxesOfAllSizesMeet) {
  // Pairs of a large and a small box at all scales, beside each other.
  std::vector<ScoredBox> boxes;
  for (float side = 0.25F, left = 0; side < 5000; side *= 1.7F, left += 10000) {
    boxes.push_back({{left, 0, left + 6000, 6000}, 0.9F, 0});
    boxes.push_back({{left + 6000 - side, 6000 - side, left + 6000, 6000}, 0.8F, 0});
  }

  EXPECT_THAT(MergeBoxes(boxes, {.method = MergeMethod::kNms, .metric = OverlapMetric::kIos}),
              SizeIs(boxes.size() / 2));
}

// Against the definition: nothing is missed by looking near a box only.
TEST(MergeBoxesTest, NobodyIsMissed) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> place(-50, 250);
  std::lognormal_distribution<float> side(2, 1.5);
  std::vector<ScoredBox> boxes;
  for (int i = 0; i < 1500; ++i) {
    const float x = place(generator);
    const float y = place(generator);
    boxes.push_back({{x, y, x + side(generator), y + side(generator)}, 1.0F - 0.0005F * i, i % 2});
  }
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const bool suppressed = std::any_of(kept.begin(), kept.end(), [&](std::size_t better) {
      const Box& a = boxes[better].box;
      const Box& b = boxes[i].box;
      const float width = std::min(a.x_max, b.x_max) - std::max(a.x_min, b.x_min);
      const float height = std::min(a.y_max, b.y_max) - std::max(a.y_min, b.y_min);
      return boxes[better].class_id == boxes[i].class_id && width > 0 && height > 0 &&
             width * height / std::min(a.width() * a.height(), b.width() * b.height()) >= 0.1F;
    });
    if (!suppressed) kept.push_back(i);
  }

  std::vector<std::size_t> found;
  for (const MergedBox& one : MergeBoxes(boxes, {.method = MergeMethod::kNms, .threshold = 0.1F})) {
    found.push_back(one.strongest);
  }

  EXPECT_THAT(kept, testing::SizeIs(testing::Gt(50u)));
  EXPECT_EQ(found, kept);
}

}  // namespace
}  // namespace vision
