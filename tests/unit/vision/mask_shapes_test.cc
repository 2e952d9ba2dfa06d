#include "vision/mask_shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <opencv2/imgproc.hpp>

#include "tests/unit/vision/mask_fixtures.h"

namespace vision {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<Ring> RingsOf(const std::vector<Polygon>& polygons) {
  std::vector<Ring> rings;
  for (const Polygon& polygon : polygons) {
    rings.push_back(polygon.outer);
    rings.insert(rings.end(), polygon.holes.begin(), polygon.holes.end());
  }
  return rings;
}

double SignedArea(const Ring& ring) {
  double twice = 0;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const Point& a = ring[i];
    const Point& b = ring[(i + 1) % ring.size()];
    twice += a.x * b.y - b.x * a.y;
  }
  return twice / 2;
}

// A filled ellipse, drawn by its equation at the pixels' centres.
cv::Mat DrawEllipse(Size size, const Ellipse& ellipse) {
  cv::Mat pixels = cv::Mat::zeros(size.height, size.width, CV_8UC1);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      const float dx = x + 0.5f - ellipse.center.x;
      const float dy = y + 0.5f - ellipse.center.y;
      const float u =
          (dx * std::cos(ellipse.angle) + dy * std::sin(ellipse.angle)) / ellipse.radius_x;
      const float v =
          (dy * std::cos(ellipse.angle) - dx * std::sin(ellipse.angle)) / ellipse.radius_y;
      pixels.at<uchar>(y, x) = u * u + v * v < 1;
    }
  }
  return pixels;
}

TEST(PolygonsTest, OfOnePixelIsItsSquare) {
  const auto polygons = ToPolygons(MaskOf({"...",  //
                                           ".#.",  //
                                           "..."}));

  ASSERT_THAT(polygons, SizeIs(1));
  EXPECT_THAT(polygons[0].outer, ElementsAre(Point{1, 1}, Point{2, 1}, Point{2, 2}, Point{1, 2}));
  EXPECT_EQ(polygons[0].outer_area_px, 1);
  EXPECT_THAT(polygons[0].holes, IsEmpty());
}

TEST(PolygonsTest, AHoleBelongsToThePartAroundIt) {
  const auto polygons = ToPolygons(MaskOf({"#####.#",  //
                                           "#...#.#",  //
                                           "#.#.#.#",  //
                                           "#...#..",  //
                                           "#####.."}));

  ASSERT_THAT(polygons, SizeIs(3));
  EXPECT_EQ(polygons[0].outer_area_px, 25);
  ASSERT_THAT(polygons[0].holes, SizeIs(1));
  EXPECT_THAT(polygons[0].holes[0],
              ElementsAre(Point{4, 1}, Point{1, 1}, Point{1, 4}, Point{4, 4}));
  EXPECT_EQ(polygons[1].outer_area_px, 3);  // the bar on the right
  EXPECT_EQ(polygons[2].outer_area_px, 1);  // the island in the hole
  EXPECT_THAT(polygons[2].holes, IsEmpty());
}

TEST(PolygonsTest, PixelsThatTouchAtACornerAreOnePart) {
  EXPECT_THAT(ToPolygons(MaskOf({"#.", ".#"})), SizeIs(1));
  EXPECT_THAT(ToPolygons(MaskOf({".#", "#."})), SizeIs(1));
  // The background inside isn't connected to the outside through corners.
  const auto diamond = ToPolygons(MaskOf({".#.",  //
                                          "#.#",  //
                                          ".#."}));
  ASSERT_THAT(diamond, SizeIs(1));
  EXPECT_THAT(diamond[0].holes, SizeIs(1));
  EXPECT_EQ(diamond[0].outer_area_px, 5);
}

TEST(PolygonsTest, FillingThemGivesTheMaskBack) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    const Mask mask = MaskFromPixels(Noise(31, 29, 0.1 + 0.016 * seed, seed));

    const auto polygons = ToPolygons(mask);

    EXPECT_EQ(MaskFromRings(mask.size, RingsOf(polygons)), mask) << seed;
  }
}

// The same connectivity as OpenCV's contours: foreground through corners, background through edges.
TEST(PolygonsTest, AsManyRingsAsOpenCvFindsAndOrientedAsPromised) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    const cv::Mat pixels = Noise(31, 29, 0.1 + 0.016 * seed, seed);
    std::vector<std::vector<cv::Point>> contours;
    std::vector<cv::Vec4i> hierarchy;
    cv::findContours(pixels, contours, hierarchy, cv::RETR_CCOMP, cv::CHAIN_APPROX_NONE);
    std::vector<int> expected;  // the number of holes of each part
    for (const cv::Vec4i& links : hierarchy) {
      if (links[3] >= 0) continue;
      expected.push_back(0);
      for (int hole = links[2]; hole >= 0; hole = hierarchy[static_cast<std::size_t>(hole)][0]) {
        ++expected.back();
      }
    }

    std::vector<int> found;
    for (const Polygon& polygon : ToPolygons(MaskFromPixels(pixels))) {
      found.push_back(static_cast<int>(polygon.holes.size()));
      EXPECT_EQ(SignedArea(polygon.outer), static_cast<double>(polygon.outer_area_px));
      for (const Ring& hole : polygon.holes) EXPECT_LT(SignedArea(hole), 0);
    }

    EXPECT_THAT(found, ::testing::UnorderedElementsAreArray(expected)) << seed;
  }
}

TEST(PolygonsTest, SimplifyingKeepsTheShapeWithinTheTolerance) {
  const Ellipse ellipse{.center = {150, 100}, .radius_x = 120, .radius_y = 60, .angle = 0.5f};
  const Mask mask = MaskFromPixels(DrawEllipse({300, 200}, ellipse));
  const std::size_t corners = ToPolygons(mask)[0].outer.size();

  const auto simplified = ToPolygons(mask, {.tolerance_px = 1.5});

  ASSERT_THAT(simplified, SizeIs(1));
  EXPECT_LT(simplified[0].outer.size(), corners / 8);
  const cv::Mat moved = ToPixels(mask) != ToPixels(MaskFromRings(mask.size, RingsOf(simplified)));
  // All within the tolerance of an outline of 581 pixels; in practice far less.
  EXPECT_LT(cv::countNonZero(moved), 581 * 1.5);
}

TEST(PolygonsTest, SmallPartsAndHolesAreDroppedWhenAsked) {
  const Mask mask = MaskOf({"####.#",  //
                            "#.##..",  //
                            "####.."});

  const auto polygons = ToPolygons(mask, {.min_area_px = 2});

  ASSERT_THAT(polygons, SizeIs(1));
  EXPECT_EQ(polygons[0].outer_area_px, 12);
  EXPECT_THAT(polygons[0].holes, IsEmpty());
}

TEST(RingsTest, PixelsAreInsideByTheirCentres) {
  // A triangle whose long side runs through the centres of the diagonal: they are on its left edge,
  // hence inside.
  EXPECT_EQ(MaskFromRings({3, 3}, {{{0, 0}, {3, 0}, {3, 3}}}), MaskOf({"###", ".##", "..#"}));
  // Less than half of a pixel doesn't count.
  EXPECT_THAT(MaskFromRings({3, 1}, {{{0.6f, 0}, {1.4f, 0}, {1.4f, 1}, {0.6f, 1}}}).spans,
              IsEmpty());
}

// Of four rows, those whose centres 0.5, 1.5, 2.5 and 3.5 are between the edges.
TEST(RingsTest, RowsAreInsideByTheirCentresToo) {
  const auto rows = [](float top, float bottom) {
    return MaskFromRings({1, 4}, {{{0, top}, {1, top}, {1, bottom}, {0, bottom}}});
  };
  EXPECT_EQ(rows(0.4f, 2.4f), MaskOf({"#", "#", ".", "."}));
  EXPECT_EQ(rows(0.6f, 2.6f), MaskOf({".", "#", "#", "."}));
  EXPECT_EQ(rows(0.5f, 2.5f), MaskOf({"#", "#", ".", "."}));  // an edge on a centre: its row is in
}

TEST(RingsTest, PartsOutsideOfTheImageAreCutOff) {
  const Ring ring = {{-5, -5}, {1e9f, -5}, {1e9f, 2}, {-5, 2}};

  EXPECT_EQ(MaskFromRings({2, 3}, {ring}), MaskOf({"##", "##", ".."}));
}

TEST(EllipseTest, MomentsFindTheEllipseThatWasDrawn) {
  for (const float angle : {0.0f, 0.5f, 1.5f, -0.7f, -1.5f}) {
    const Ellipse drawn{
        .center = {160.25f, 120.5f}, .radius_x = 90, .radius_y = 35, .angle = angle};

    const auto found = ToEllipse(MaskFromPixels(DrawEllipse({320, 240}, drawn)));

    ASSERT_TRUE(found.has_value());
    // Pixels quantise the outline by half a pixel at random, which averages out along 420 of them.
    EXPECT_NEAR(found->center.x, drawn.center.x, 0.1);
    EXPECT_NEAR(found->center.y, drawn.center.y, 0.1);
    EXPECT_NEAR(found->radius_x, drawn.radius_x, 0.3);
    EXPECT_NEAR(found->radius_y, drawn.radius_y, 0.3);
    EXPECT_NEAR(found->angle, drawn.angle, 0.01);
  }
}

TEST(EllipseTest, OfOnePixelIsSmallButNotFlat) {
  const auto ellipse = ToEllipse(MaskOf({"...", "..#"}));

  ASSERT_TRUE(ellipse.has_value());
  EXPECT_EQ(ellipse->center, (Point{2.5f, 1.5f}));
  EXPECT_NEAR(ellipse->radius_y, 0.577, 0.001);  // 2 / √12
  EXPECT_FALSE(ToEllipse(MaskOf({"..."})).has_value());
}

TEST(EllipseTest, ItsMaskHasThePixelsWhoseCentresAreInside) {
  for (const Ellipse ellipse : {Ellipse{{20.3F, 14.1F}, 9, 4, 0.4F}, Ellipse{{20, 14}, 9, 4, -1.2F},
                                Ellipse{{2, 3}, 12, 7, 1.5F}, Ellipse{{38, 28}, 30, 2.2F, 0.7F},
                                Ellipse{{20, 14}, 5, 5, 0}}) {
    const Size size = {40, 30};
    EXPECT_EQ(MaskFromEllipse(size, ellipse), MaskFromPixels(DrawEllipse(size, ellipse)))
        << ellipse.angle;
  }
  EXPECT_THAT(MaskFromEllipse({40, 30}, {{20, 14}, 5, 0, 0}).spans, IsEmpty());
}

TEST(EllipseTest, ItsBoxTouchesItOnAllSides) {
  const Box box = BoundingBox(Ellipse{{50, 40}, 20, 10, static_cast<float>(std::numbers::pi / 2)});
  EXPECT_NEAR(box.x_min, 40, 1e-4);
  EXPECT_NEAR(box.x_max, 60, 1e-4);
  EXPECT_NEAR(box.y_min, 20, 1e-4);
  EXPECT_NEAR(box.y_max, 60, 1e-4);
}

TEST(InnermostPointTest, IsFurthestFromTheBackground) {
  EXPECT_EQ(InnermostPoint(MaskOf({"#####..",     //
                                   "#####..",     //
                                   "#####.#",     //
                                   "#####..",     //
                                   "#####.."})),  //
            (Point{2.5f, 2.5f}));
  EXPECT_FALSE(InnermostPoint(MaskOf({"..."})).has_value());
}

TEST(InnermostPointTest, OfARingIsInTheRingAndNotInItsMiddle) {
  cv::Mat pixels = cv::Mat::zeros(1400, 1500, CV_8UC1);
  cv::circle(pixels, {700, 700}, 600, 255, 40);

  const auto point = InnermostPoint(MaskFromPixels(pixels));

  ASSERT_TRUE(point.has_value());
  // A step of the coarse grid is 3 pixels.
  EXPECT_NEAR(std::hypot(point->x - 700, point->y - 700), 600, 6);
}

TEST(InnermostPointTest, FindsMasksThinnerThanTheCoarseGrid) {
  cv::Mat pixels = cv::Mat::zeros(3000, 3000, CV_8UC1);
  cv::line(pixels, {0, 0}, {2999, 2500}, 255, 1);

  const auto point = InnermostPoint(MaskFromPixels(pixels));

  ASSERT_TRUE(point.has_value());
  EXPECT_NE(pixels.at<uchar>(static_cast<int>(point->y), static_cast<int>(point->x)), 0);
}

}  // namespace
}  // namespace vision
