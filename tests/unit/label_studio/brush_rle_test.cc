#include "label_studio/brush_rle.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <string>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/unit/label_studio/recorded.h"
#include "vision/mask_rle.h"

namespace label_studio {
namespace {

using duet_testing::StatusIs;
using testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

const boost::json::object& Goldens() {
  static const boost::json::value document = boost::json::parse(ReadRecorded("brush_rle.json"));
  return document.get_object();
}

std::vector<std::uint8_t> Bytes(const boost::json::value& list) {
  std::vector<std::uint8_t> bytes;
  for (const boost::json::value& byte : list.as_array()) {
    bytes.push_back(static_cast<std::uint8_t>(byte.as_int64()));
  }
  return bytes;
}

// From the goldens' [value, pixels, value, pixels, ...].
vision::Mask MaskOf(const boost::json::object& golden) {
  std::vector<std::uint32_t> runs = {0};
  const boost::json::array& list = golden.at("runs").as_array();
  for (std::size_t i = 0; i < list.size(); i += 2) {
    const bool foreground = list[i].as_int64() != 0;
    if (foreground == (runs.size() % 2 == 1)) runs.push_back(0);
    runs.back() += static_cast<std::uint32_t>(list[i + 1].as_int64());
  }
  const vision::Size size = {static_cast<int>(golden.at("width").as_int64()),
                             static_cast<int>(golden.at("height").as_int64())};
  return *vision::DecodeRowRuns(size, runs);
}

TEST(BrushRleTest, EncodesAsTheSdkDoesByteByByte) {
  for (const auto& [name, golden] : Goldens().at("masks").as_object()) {
    if (name.find("value1") != name.npos) continue;  // of ones, which Label Studio barely shows
    EXPECT_EQ(EncodeBrushRle(MaskOf(golden.as_object())), Bytes(golden.at("rle"))) << name;
  }
}

TEST(BrushRleTest, DecodesWhatTheSdkEncodes) {
  for (const auto& [name, golden] : Goldens().at("masks").as_object()) {
    const vision::Mask mask = MaskOf(golden.as_object());
    ASSERT_OK_AND_ASSIGN(const vision::Mask decoded,
                         DecodeBrushRle(Bytes(golden.at("rle")), mask.size));
    EXPECT_EQ(decoded, mask) << name;
  }
}

TEST(BrushRleTest, DecodesLiteralBlocksAndOddValues) {
  // Six values 0, 255 in turn are no whole pixels: two more make two, whose alphas are 255 and 255.
  const std::vector<std::uint8_t> literal = {0, 0, 0, 8, 0x39, 0x1b, 0xf8 | 0, 0x00};
  EXPECT_THAT(DecodeBrushRle(literal, {2, 1}), StatusIs(kInvalid, HasSubstr("cut off")));

  // One block of literals by hand: flag 0, size index 0, count 8 - 1 (3 bits), then 0 0 0 9 0 0 0
  // 0.
  std::string bits = "00000000000000000000000000001000";  // 8 values
  bits +=
      "00111"
      "0010"
      "0011"
      "0111"
      "1111";  // 8-bit words, counts of 3, 4, 8, 16 bits
  bits +=
      "0"
      "00"
      "111";
  for (const int value : {0, 0, 0, 9, 0, 0, 0, 0}) {
    for (int bit = 7; bit >= 0; --bit) bits += (value >> bit & 1) != 0 ? '1' : '0';
  }
  bits.append((8 - bits.size() % 8) % 8, '0');
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i < bits.size(); i += 8) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(bits.substr(i, 8), nullptr, 2)));
  }
  ASSERT_OK_AND_ASSIGN(const vision::Mask mask, DecodeBrushRle(bytes, {2, 1}));
  EXPECT_EQ(mask, (vision::Mask{{2, 1}, {{0, 0, 1}}}));
}

TEST(BrushRleTest, RunsCrossRowEnds) {
  const vision::Mask full{{3, 2}, {{0, 0, 3}, {1, 0, 3}}};
  // One block of 24 values: 53 bits of header, then 1, 10, 23 in 8 bits, 255.
  EXPECT_EQ(EncodeBrushRle(full),
            (std::vector<std::uint8_t>{0, 0, 0, 24, 0x39, 0x1b, 0xfe, 0x17, 0xff, 0x00}));
  ASSERT_OK_AND_ASSIGN(const vision::Mask decoded, DecodeBrushRle(EncodeBrushRle(full), {3, 2}));
  EXPECT_EQ(decoded, full);
}

TEST(BrushRleTest, EveryCutIsAnError) {
  const boost::json::object& golden = Goldens().at("masks").at("single_pixel_23x31").as_object();
  const std::vector<std::uint8_t> whole = Bytes(golden.at("rle"));
  const vision::Size size = MaskOf(golden).size;
  // The last byte is padding.
  for (std::size_t length = 0; length + 1 < whole.size(); ++length) {
    EXPECT_THAT(DecodeBrushRle(absl::MakeSpan(whole).subspan(0, length), size),
                StatusIs(kInvalid, HasSubstr("cut off")))
        << length;
  }
}

TEST(BrushRleTest, ALengthThatDoesNotFitIsAnError) {
  const std::vector<std::uint8_t> whole =
      Bytes(Goldens().at("masks").at("single_pixel_23x31").at("rle"));
  EXPECT_THAT(DecodeBrushRle(whole, {31, 24}), StatusIs(kInvalid, HasSubstr("needed: 4 a pixel")));
  EXPECT_THAT(DecodeBrushRle(whole, {0, 24}), StatusIs(kInvalid, HasSubstr("0x24")));
}

}  // namespace
}  // namespace label_studio
