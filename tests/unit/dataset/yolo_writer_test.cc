#include "dataset/yolo_writer.h"

#include <gmock/gmock.h>

#include <string>

namespace dataset {
namespace {

std::string Line(const Object& object, YoloShape shape, Findings* findings) {
  std::string text;
  AppendYoloLine(object, {20, 10}, shape, "'a'", &text, findings);
  return text;
}

TEST(YoloWriterTest, ABoxIsItsCentreAndItsSize) {
  Findings findings;

  EXPECT_EQ(Line({.class_index = 3, .box = {2, 1, 12, 4}}, YoloShape::kBox, &findings),
            "3 0.35 0.25 0.5 0.3\n");
}

TEST(YoloWriterTest, AnOutlineIsTheLargestPartsAndWhatIsLeftOutIsTold) {
  const vision::Mask two_parts{{20, 10}, {{1, 2, 6}, {2, 2, 6}, {8, 0, 1}}};
  Findings findings;

  EXPECT_EQ(Line({.box = {0, 1, 6, 9}, .mask = two_parts}, YoloShape::kOutline, &findings),
            "0 0.1 0.1 0.3 0.1 0.3 0.3 0.1 0.3\n");
  EXPECT_EQ(findings.count("masks of several parts, of which the largest one was written"), 1u);
}

TEST(YoloWriterTest, AmongOutlinesABoxIsItsCorners) {
  Findings findings;

  EXPECT_EQ(Line({.box = {-1, 0, 10, 5}}, YoloShape::kOutline, &findings),
            "0 0 0 0.5 0 0.5 0.5 0 0.5\n");
  EXPECT_TRUE(findings.empty());
}

TEST(YoloWriterTest, NamesAreQuotedInYaml) {
  EXPECT_THAT(YoloDataYaml({"no", "a: \"b\""}),
              testing::EndsWith("names:\n  0: \"no\"\n  1: \"a: \\\"b\\\"\"\n"));
}

}  // namespace
}  // namespace dataset
