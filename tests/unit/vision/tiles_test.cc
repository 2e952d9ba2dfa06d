#include "vision/tiles.h"

#include <gmock/gmock.h>

namespace vision {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

TEST(TilesTest, TheLastOfARowEndsWithTheImage) {
  EXPECT_THAT(
      TilesOf({230, 100}, 100, 20),
      ElementsAre(Tile{0, 0, {100, 100}}, Tile{80, 0, {100, 100}}, Tile{130, 0, {100, 100}}));
  // The second one ends exactly there.
  EXPECT_THAT(TilesOf({180, 100}, 100, 20),
              ElementsAre(Tile{0, 0, {100, 100}}, Tile{80, 0, {100, 100}}));
}

TEST(TilesTest, ATileIsSmallerWhereTheImageIs) {
  EXPECT_THAT(TilesOf({50, 150}, 100, 50),
              ElementsAre(Tile{0, 0, {50, 100}}, Tile{0, 50, {50, 100}}));
  EXPECT_THAT(TilesOf({50, 40}, 100, 0), ElementsAre(Tile{0, 0, {50, 40}}));
}

TEST(TilesTest, TheyAreCountedWithoutBeingMade) {
  for (const Size image : {Size{1, 1}, Size{100, 101}, Size{999, 640}}) {
    for (const int overlap : {0, 1, 50, 99}) {
      EXPECT_THAT(TilesOf(image, 100, overlap), SizeIs(CountTiles(image, 100, overlap)));
    }
  }
  EXPECT_EQ(CountTiles({1 << 30, 1 << 30}, 64, 63), ((1LL << 30) - 63) * ((1LL << 30) - 63));
}

}  // namespace
}  // namespace vision
