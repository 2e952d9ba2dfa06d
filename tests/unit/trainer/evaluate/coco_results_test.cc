#include "trainer/evaluate/coco_results.h"

#include <gmock/gmock.h>

#include <string>
#include <string_view>
#include <utility>

#include "tests/testing/status_matchers.h"
#include "vision/mask_rle.h"

namespace trainer {
namespace {

using duet_testing::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::string_view kAnnotations =
    R"({"images":[],"categories":[{"id":90,"name":"dog"},{"id":8,"name":"cat"},)"
    R"({"id":9,"name":"cow"}]})";

dataset::Dataset Truth() {
  dataset::Dataset truth{.classes = {"cat", "dog"}, .samples = {}};
  truth.samples.resize(2);
  truth.samples[0].id = "7";
  truth.samples[0].size = {4, 2};
  truth.samples[1].id = "3";
  truth.samples[1].size = {30, 40};
  return truth;
}

absl::StatusOr<DetectionsByImage> Read(std::string_view results) {
  return ReadCocoResults(results, kAnnotations, Truth());
}

TEST(CocoResultsTest, GoToTheirImagesWithTheirClasses) {
  ASSERT_OK_AND_ASSIGN(const DetectionsByImage detections,
                       Read(R"([{"image_id":3,"category_id":90,"score":0.5,"bbox":[1,2,3.5,4]},)"
                            R"({"image_id":7,"category_id":8,"score":1,"bbox":[0,0,1,1]},)"
                            R"({"image_id":7,"category_id":9,"score":1,"bbox":[0,0,1,1]}])"));
  ASSERT_THAT(detections, SizeIs(2));
  ASSERT_THAT(detections[0], SizeIs(1));  // cows are not wanted
  EXPECT_EQ(detections[0][0].class_index, 0);
  ASSERT_THAT(detections[1], SizeIs(1));
  EXPECT_EQ(detections[1][0].class_index, 1);
  EXPECT_EQ(detections[1][0].score, 0.5F);
  EXPECT_EQ(detections[1][0].box, (vision::Box{1, 2, 4.5, 6}));
  EXPECT_EQ(detections[1][0].mask, std::nullopt);
}

// Column by column: two of background, four of foreground, two of background.
TEST(CocoResultsTest, MasksGiveABoxWhereThereIsNone) {
  ASSERT_OK_AND_ASSIGN(const DetectionsByImage detections,
                       Read(R"([{"image_id":7,"category_id":8,"score":0.5,)"
                            R"("segmentation":{"size":[2,4],"counts":"242"}}])"));
  ASSERT_THAT(detections[0], SizeIs(1));
  EXPECT_EQ(vision::Area(*detections[0][0].mask), 4);
  EXPECT_EQ(detections[0][0].box, (vision::Box{1, 0, 3, 2}));
}

TEST(CocoResultsTest, AnEmptyListIsNoDetections) {
  ASSERT_OK_AND_ASSIGN(const DetectionsByImage detections, Read("[]"));
  EXPECT_THAT(detections, ElementsAre(IsEmpty(), IsEmpty()));
}

TEST(CocoResultsTest, WhatIsWrongIsNamed) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({"annotations":[{}]})", "is not COCO's results format"},
      {R"({"info":1})", "is not COCO's results format"},
      {R"([1])", "is not COCO's results format"},
      {R"([{"image_id":4,"category_id":8,"score":1,"bbox":[0,0,1,1]}])",
       "detection 0 of the list: the annotations have no image '4'"},
      {R"([{"image_id":7,"category_id":1,"score":1,"bbox":[0,0,1,1]}])",
       "the annotations have no category '1'"},
      {R"([{"image_id":7,"category_id":8,"bbox":[0,0,1,1]}])", "'score' must be a number"},
      {R"([{"image_id":7,"category_id":8,"score":1}])", "needs 'bbox' or 'segmentation'"},
      {R"([{"image_id":7,"category_id":8,"score":1,"bbox":[0,0,1]}])",
       "'bbox' must be four numbers"},
      {R"([{"image_id":7,"category_id":8,"score":1,"segmentation":[[0,0,1,1,1,0]]}])",
       "'segmentation' needs compressed run lengths"},
      {R"([{"image_id":7,"category_id":8,"score":1,"segmentation":{"size":[4,2],"counts":"8"}}])",
       "'segmentation' needs the size [2,4]"},
      {R"([{"image_id":7,"category_id":8,"score":1,"segmentation":{"size":[2,4],"counts":"9"}}])",
       "'segmentation': "},
  };
  for (const auto& [results, message] : cases) {
    EXPECT_THAT(Read(results),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(message))))
        << results;
  }
}

// In binary fractions nothing is rounded, and 0.1 + 0.2 must come back, too.
TEST(CocoResultsTest, WhatIsWrittenIsReadAgain) {
  dataset::Dataset truth = Truth();
  truth.samples[1].id = "seventeen";
  DetectionsByImage detections(2);
  ASSERT_OK_AND_ASSIGN(const vision::Mask mask, vision::DecodeCocoRle({4, 2}, "242"));
  detections[0].push_back(
      {.class_index = 1, .box = {0.1F, 0.2F, 3.3F, 1.7F}, .score = 0.3F, .mask = mask});
  detections[1].push_back({.class_index = 0, .box = {1, 2, 30, 40}, .score = 1e-4F, .mask = {}});

  ASSERT_OK_AND_ASSIGN(const std::string written,
                       WriteCocoResults(detections, kAnnotations, truth));
  ASSERT_OK_AND_ASSIGN(const DetectionsByImage read, ReadCocoResults(written, kAnnotations, truth));

  EXPECT_THAT(written, HasSubstr(R"({"image_id":7,"category_id":90,)"));
  ASSERT_THAT(read, ElementsAre(SizeIs(1), SizeIs(1)));
  for (std::size_t image = 0; image < 2; ++image) {
    EXPECT_EQ(read[image][0].class_index, detections[image][0].class_index);
    EXPECT_EQ(read[image][0].box, detections[image][0].box);
    EXPECT_EQ(read[image][0].score, detections[image][0].score);
    EXPECT_EQ(read[image][0].mask, detections[image][0].mask);
  }

  truth.classes.emplace_back("aardvark");
  EXPECT_THAT(WriteCocoResults(detections, kAnnotations, truth),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("aardvark")));
}

}  // namespace
}  // namespace trainer
