#include "vision/coco_polygon.h"

#include <gmock/gmock.h>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "vision/mask_rle.h"
#include "vision/mask_shapes.h"
#include "vision/mask_union.h"

namespace vision {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;

namespace json = boost::json;

TEST(CocoPolygonTest, ThePixelsAreThoseOfPycocotools) {
  std::ifstream file(DUET_TEST_DATA "/dataset/coco_polygons.json");
  std::stringstream text;
  text << file.rdbuf();
  const json::array cases = json::parse(text.str()).as_array();
  ASSERT_GT(cases.size(), 40U);
  for (const json::value& one : cases) {
    const Size size = {one.at("width").to_number<int>(), one.at("height").to_number<int>()};
    std::vector<double> polygon;
    for (const json::value& number : one.at("polygon").as_array()) {
      polygon.push_back(number.to_number<double>());
    }
    ASSERT_OK_AND_ASSIGN(const Mask mask, MaskFromCocoPolygon(size, polygon));
    EXPECT_EQ(EncodeCocoRle(mask), std::string(one.at("counts").as_string())) << one;
    EXPECT_EQ(Area(mask), one.at("area").to_number<std::int64_t>()) << one;
  }
}

TEST(CocoPolygonTest, OutlinesAlongPixelEdgesGiveTheMaskBack) {
  Mask mask{{30, 20}, {}};
  for (int y = 3; y < 9; ++y) mask.spans.push_back({y, 4 + y % 3, 20 - y});

  std::vector<Mask> parts;
  for (const Polygon& polygon : ToPolygons(mask)) {
    std::vector<double> coordinates;
    for (const Point& point : polygon.outer) {
      coordinates.push_back(point.x);
      coordinates.push_back(point.y);
    }
    ASSERT_OK_AND_ASSIGN(parts.emplace_back(), MaskFromCocoPolygon(mask.size, coordinates));
  }

  EXPECT_EQ(Union(parts), mask);
}

TEST(CocoPolygonTest, AnOutlineFarBeyondTheImageCostsWhatItsColumnsCost) {
  // Each line has 5e7 points of pycocotools' grid, and all but a few lie outside of the image.
  std::vector<double> polygon;
  for (int i = 0; i < 4000; ++i) {
    polygon.insert(polygon.end(), {i % 2 == 0 ? 2.0 : 7.0, i % 2 == 0 ? -4e6 : 4e6});
  }
  ASSERT_OK_AND_ASSIGN(const Mask mask, MaskFromCocoPolygon({1'000'000, 1}, polygon));
  EXPECT_LT(Area(mask), 10);
}

TEST(CocoPolygonTest, WhatIsNoPolygonIsRefused) {
  const Size size = {20, 10};
  const auto refused = [](std::string_view what) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(what)));
  };
  EXPECT_THAT(MaskFromCocoPolygon(size, {1, 1, 5, 5}), refused("4 coordinates"));
  EXPECT_THAT(MaskFromCocoPolygon(size, {1, 1, 5, 5, 6, 6, 7}), refused("7 coordinates"));
  EXPECT_THAT(MaskFromCocoPolygon(size, {1, 1, 5, std::nan(""), 6, 6}), refused("nan"));
  EXPECT_THAT(MaskFromCocoPolygon(size, {1, 1, 5, 1e9, 6, 6}), refused("20x10"));
  EXPECT_THAT(MaskFromCocoPolygon({0, 10}, {1, 1, 5, 5, 6, 6}), refused("0x10"));
}

TEST(MaskUnionTest, JoinsOverlappingAndTouchingSpans) {
  const Size size = {10, 3};
  const Mask a{size, {{0, 1, 4}, {0, 6, 7}, {2, 0, 1}}};
  const Mask b{size, {{0, 3, 5}, {1, 2, 3}, {2, 1, 2}}};

  EXPECT_EQ(Union({a, b}), (Mask{size, {{0, 1, 5}, {0, 6, 7}, {1, 2, 3}, {2, 0, 2}}}));
  EXPECT_EQ(Union({a}), a);
}

}  // namespace
}  // namespace vision
