#include "vision/mask_rle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value_to.hpp>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/unit/vision/mask_fixtures.h"

namespace vision {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// tools/make_mask_fixtures.py made it.
boost::json::array Fixtures() {
  std::ifstream file(DUET_TEST_DATA "/vision/coco_rle.json");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return boost::json::parse(text).as_array();
}

TEST(MaskRleTest, CodesEqualPycocotools) {
  const boost::json::array fixtures = Fixtures();
  ASSERT_EQ(fixtures.size(), 12u);
  for (const boost::json::value& fixture : fixtures) {
    SCOPED_TRACE(fixture.at("name").as_string().c_str());
    const Size size{static_cast<int>(fixture.at("width").as_int64()),
                    static_cast<int>(fixture.at("height").as_int64())};
    const auto counts = boost::json::value_to<std::string>(fixture.at("counts"));
    const auto runs = boost::json::value_to<std::vector<std::uint32_t>>(fixture.at("row_runs"));
    const auto box = boost::json::value_to<std::vector<float>>(fixture.at("box"));

    const auto mask = DecodeRowRuns(size, runs);

    ASSERT_TRUE(mask.ok()) << mask.status();
    EXPECT_EQ(EncodeCocoRle(*mask), counts);
    EXPECT_EQ(EncodeRowRuns(*mask), runs);
    EXPECT_EQ(Area(*mask), fixture.at("area").as_int64());
    EXPECT_EQ(TightBox(*mask), (Box{box[0], box[1], box[2], box[3]}));
    const auto decoded = DecodeCocoRle(size, counts);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, *mask);
  }
}

TEST(MaskRleTest, RowRunsBeginWithBackgroundAndGoOnOverRowEnds) {
  EXPECT_THAT(EncodeRowRuns(MaskOf({"..#", "##."})), ElementsAre(2, 3, 1));
  EXPECT_THAT(EncodeRowRuns(MaskOf({"#..", "..#"})), ElementsAre(0, 1, 4, 1));
  EXPECT_THAT(EncodeRowRuns(MaskOf({"...", "..."})), ElementsAre(6));
  EXPECT_THAT(EncodeRowRuns(MaskOf({"###", "###"})), ElementsAre(0, 6));
}

TEST(MaskRleTest, EmptyRunsJoinTheirNeighbours) {
  const auto mask = DecodeRowRuns({4, 1}, std::vector<std::uint32_t>{1, 1, 0, 1, 1, 0});

  ASSERT_TRUE(mask.ok()) << mask.status();
  EXPECT_THAT(mask->spans, ElementsAre(Span{0, 1, 3}));
}

TEST(MaskRleTest, RunsThatDontFillTheMaskAreRefused) {
  for (const std::vector<std::uint32_t>& runs :
       {std::vector<std::uint32_t>{}, {5}, {7}, {1, 4294967295u, 2}}) {
    const auto mask = DecodeRowRuns({3, 2}, runs);
    EXPECT_EQ(mask.status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(std::string(DecodeRowRuns({3, 2}, std::vector<std::uint32_t>{5}).status().message()),
              HasSubstr("sum to 5, not to 3x2"));
}

TEST(MaskRleTest, ACutOrDamagedStringIsRefused) {
  const std::string counts = EncodeCocoRle(MaskFromPixels(Noise(40, 30, 0.3, 1)));
  for (std::size_t length = 0; length < counts.size(); ++length) {
    EXPECT_FALSE(DecodeCocoRle({40, 30}, counts.substr(0, length)).ok()) << length;
  }
  for (const char* bad : {"/", "p", "\x80", "PPPPPPPPPPPP", "ooooooooooo", "00O"}) {
    EXPECT_FALSE(DecodeCocoRle({40, 30}, bad).ok()) << bad;
  }
}

TEST(MaskRleTest, AShortStringCannotMakeAHugeMask) {
  EXPECT_FALSE(DecodeCocoRle({100000, 100000}, "0").ok());
  EXPECT_FALSE(DecodeCocoRle({0, 5}, "").ok());

  // 20000 columns of 20000 pixels, every second one set: 2 × 10^8 spans from 20 kB. "Pac0" is
  // 20000; lengths from the fourth on are differences.
  const std::string counts = "0Pac0Pac0" + std::string(19998, '0');
  EXPECT_THAT(std::string(DecodeCocoRle({20000, 20000}, counts).status().message()),
              HasSubstr("spans"));
}

}  // namespace
}  // namespace vision
