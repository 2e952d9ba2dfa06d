#include "vision/box.h"

#include <gtest/gtest.h>

#include <cmath>

namespace vision {
namespace {

TEST(BoxIouTest, IsTheSharedPartOfBothTogether) {
  EXPECT_EQ(BoxIou({0, 0, 10, 10}, {0, 0, 10, 10}), 1);
  EXPECT_FLOAT_EQ(BoxIou({0, 0, 10, 10}, {5, 0, 15, 10}), 50.0F / 150);
  EXPECT_EQ(BoxIou({0, 0, 10, 10}, {10, 0, 20, 10}), 0);  // they touch
  EXPECT_EQ(BoxIou({0, 0, 10, 10}, {20, 20, 30, 30}), 0);
  EXPECT_EQ(BoxIou({0, 0, 10, 10}, {0, 20, 10, 30}), 0);  // below
  EXPECT_EQ(BoxIou({0, 0, 10, 10}, {20, 0, 30, 10}), 0);  // to the right
}

TEST(BoxIouTest, TwoBoxesWithoutAreaHaveNone) {
  EXPECT_EQ(BoxIou({5, 5, 5, 5}, {0, 0, 10, 10}), 0);
  EXPECT_TRUE(std::isnan(BoxIou({5, 5, 5, 5}, {5, 5, 5, 5})));
}

}  // namespace
}  // namespace vision
