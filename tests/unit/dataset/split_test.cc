#include "dataset/split.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace dataset {
namespace {

using testing::UnorderedElementsAre;

// Images of three classes: "common" on most, "medium" on a fifth, "rare" on a twentieth; some have
// nothing.
std::vector<SplitImage> Images(int count, unsigned seed) {
  std::mt19937 random(seed);
  const auto chance = [&](int percent) {
    return std::uniform_int_distribution<int>(1, 100)(random) <= percent;
  };
  std::vector<SplitImage> images;
  for (int i = 0; i < count; ++i) {
    SplitImage& image = images.emplace_back();
    image.identity = "image " + std::to_string(i);
    if (chance(80)) image.classes = {"common", "common"};
    if (chance(20)) image.classes.emplace_back("medium");
    if (chance(5)) image.classes.emplace_back("rare");
  }
  return images;
}

struct Share {
  int images = 0;
  int validation = 0;
};

Share ShareOf(const std::string& name, const std::vector<SplitImage>& images, const Sides& sides) {
  Share share;
  for (const SplitImage& image : images) {
    const bool has = name.empty()
                         ? image.classes.empty()
                         : std::count(image.classes.begin(), image.classes.end(), name) > 0;
    if (!has) continue;
    ++share.images;
    share.validation += sides.at(image.identity) == Side::kValidation;
  }
  return share;
}

// Every class has its share: as near as rounding, and images of rarer classes that have it as well,
// allow.
void ExpectStratified(const std::vector<SplitImage>& images, const Sides& sides) {
  for (const char* name : {"rare", "medium", "common", ""}) {
    const Share share = ShareOf(name, images, sides);
    EXPECT_NEAR(share.validation, 0.2 * share.images, 1.5 + 0.05 * share.images) << name;
    if (share.images >= 2) {
      EXPECT_GE(share.validation, 1) << name;
      EXPECT_LT(share.validation, share.images) << name;
    }
  }
}

TEST(SplitTest, EachClassHasItsShareOnBothSides) {
  for (const int count : {1, 2, 3, 5, 10, 40, 205, 1000}) {
    for (unsigned seed = 0; seed < 6; ++seed) {
      SCOPED_TRACE(testing::Message() << count << " images, seed " << seed);
      const std::vector<SplitImage> images = Images(count, seed);
      ExpectStratified(images, SplitImages(images, 0.2, {}));
    }
  }
}

TEST(SplitTest, TheOrderOfTheImagesDoesNotMatter) {
  std::vector<SplitImage> images = Images(100, 1);
  const Sides sides = SplitImages(images, 0.2, {});
  std::shuffle(images.begin(), images.end(), std::mt19937(2));
  EXPECT_EQ(SplitImages(images, 0.2, {}), sides);
}

TEST(SplitTest, NoImageChangesSidesAsDataIsAddedInAnyOrder) {
  for (unsigned seed = 0; seed < 4; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<SplitImage> images = Images(200, seed);
    std::shuffle(images.begin(), images.end(), random);
    Sides sides;
    for (std::size_t known = 0; known < images.size();) {
      known = std::min(images.size(),
                       known + std::uniform_int_distribution<std::size_t>(1, 20)(random));
      const std::vector<SplitImage> so_far(images.begin(),
                                           images.begin() + static_cast<std::ptrdiff_t>(known));
      const Sides next = SplitImages(so_far, 0.2, sides);
      for (const auto& [identity, side] : sides) {
        EXPECT_EQ(next.at(identity), side) << identity << " of " << known;
      }
      EXPECT_EQ(next.size(), known);
      sides = next;
      if (known >= 20) ExpectStratified(so_far, sides);
    }
  }
}

TEST(SplitTest, AnImageThatIsGoneComesBackToItsSide) {
  const std::vector<SplitImage> images = Images(50, 3);
  const Sides all = SplitImages(images, 0.2, {});
  const std::vector<SplitImage> fewer(images.begin(), images.begin() + 10);

  const Sides without = SplitImages(fewer, 0.2, all);

  EXPECT_EQ(without, all);
  EXPECT_EQ(SplitImages(images, 0.2, without), all);
}

TEST(SplitTest, ChangedAnnotationsChangeNoSide) {
  std::vector<SplitImage> images = Images(50, 4);
  const Sides sides = SplitImages(images, 0.2, {});
  for (SplitImage& image : images) image.classes = {"new"};
  EXPECT_EQ(SplitImages(images, 0.2, sides), sides);
}

TEST(SplitTest, TasksOfOneImageAreOnOneSide) {
  const Sides sides =
      SplitImages({{"a", {"cat"}}, {"a", {"dog"}}, {"b", {"cat"}}, {"c", {"dog"}}}, 0.5, {});
  EXPECT_EQ(sides.size(), 3U);
}

TEST(SplitTest, AShareOfNothingTakesNoImageAway) {
  const std::vector<SplitImage> images = Images(50, 5);
  for (const auto& [identity, side] : SplitImages(images, 0, {})) {
    EXPECT_EQ(side, Side::kTrain) << identity;
  }
  const Sides former = {{"image 3", Side::kValidation}};
  EXPECT_EQ(SplitImages(images, 0, former).at("image 3"), Side::kValidation);
}

TEST(SplitTest, OneImageIsForTraining) {
  EXPECT_EQ(SplitImages({{"a", {"cat"}}}, 0.2, {}), (Sides{{"a", Side::kTrain}}));
  EXPECT_EQ(SplitImages({}, 0.2, {}), Sides());
}

}  // namespace
}  // namespace dataset
