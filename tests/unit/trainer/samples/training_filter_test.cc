#include "trainer/samples/training_filter.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "dataset/coco_reader.h"
#include "tests/testing/status_matchers.h"

namespace trainer {
namespace {

using testing::ElementsAre;

dataset::Sample SampleOf(std::string image, vision::Size size, std::vector<vision::Box> boxes) {
  dataset::Sample sample;
  sample.image = std::move(image);
  sample.size = size;
  for (const vision::Box& box : boxes) {
    dataset::Object& object = sample.objects.emplace_back();
    object.box = box;
    object.area = box.width() * box.height();
  }
  return sample;
}

std::vector<std::string> Images(const dataset::Dataset& data) {
  std::vector<std::string> images;
  for (const dataset::Sample& sample : data.samples) images.push_back(sample.image);
  return images;
}

TEST(TrainingFilterTest, LeavesOutEmptyAndSmallImagesAndSaysSo) {
  dataset::Dataset data{{"cat"}, {}};
  data.samples = {SampleOf("full", {32, 40}, {{1, 1, 9, 9}}), SampleOf("empty", {99, 99}, {}),
                  SampleOf("low", {99, 31}, {{1, 1, 9, 9}}),
                  SampleOf("narrow", {31, 99}, {{1, 1, 9, 9}}),
                  SampleOf("unknown", {}, {{1, 1, 9, 9}})};
  dataset::Findings findings;

  FilterForTraining({}, &data, &findings);

  EXPECT_THAT(Images(data), ElementsAre("full", "unknown"));
  EXPECT_THAT(findings.Lines(),
              ElementsAre("1 images without objects, left out of the training; the first: 'empty'",
                          "2 images of less than 32 pixels in width or height, left out of the "
                          "training; the first: 'low'"));
}

TEST(TrainingFilterTest, KeepsEmptyImagesIfTold) {
  dataset::Dataset data{{"cat"}, {SampleOf("empty", {99, 99}, {})}};
  dataset::Findings findings;

  FilterForTraining({.skip_empty = false}, &data, &findings);

  EXPECT_THAT(Images(data), ElementsAre("empty"));
  EXPECT_TRUE(findings.empty());
}

TEST(TrainingFilterTest, ObjectsOfLessThanAPixelGoButTheirImageStays) {
  dataset::Dataset data{{"cat"}, {SampleOf("a", {99, 99}, {{1, 1, 1.9F, 9}})}};
  data.samples.push_back(SampleOf("b", {99, 99}, {{1, 1, 2, 9}, {1, 1, 9, 1.5F}, {1, 1, 9, 9}}));
  data.samples[1].objects[2].area = 0;
  dataset::Findings findings;

  FilterForTraining({}, &data, &findings);

  EXPECT_THAT(Images(data), ElementsAre("a", "b"));
  EXPECT_TRUE(data.samples[0].objects.empty());
  ASSERT_EQ(data.samples[1].objects.size(), 1U);
  EXPECT_EQ(data.samples[1].objects[0].box, (vision::Box{1, 1, 2, 9}));
  EXPECT_EQ(findings.count("objects of less than a pixel, left out of the training"), 3U);
}

// CocoDataset.parse_data_info judges boxes as they are written. Which images stay is decided by
// whether anything is annotated (filter_data with cat_img_map), before boxes are judged: mmdet 3.3
// has all four images of this file, with 0, 0, 0 and 2 objects.
TEST(TrainingFilterTest, JudgesBoxesAsMmdetDoesAndClipsThemThen) {
  dataset::Findings findings;
  ASSERT_OK_AND_ASSIGN(dataset::Dataset data,
                       dataset::ReadCoco(R"({
    "images": [{"id": 1, "file_name": "outside", "width": 99, "height": 99},
               {"id": 2, "file_name": "flat", "width": 99, "height": 99},
               {"id": 3, "file_name": "ignore", "width": 99, "height": 99},
               {"id": 4, "file_name": "out", "width": 99, "height": 99},
               {"id": 5, "file_name": "empty", "width": 99, "height": 99}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [
      {"id": 1, "image_id": 1, "category_id": 1, "bbox": [150, 20, 30, 30], "area": 900},
      {"id": 2, "image_id": 2, "category_id": 1, "bbox": [20, 20, 0, 30], "area": 9},
      {"id": 3, "image_id": 3, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "ignore": 1},
      {"id": 4, "image_id": 4, "category_id": 1, "bbox": [98.5, 1, 9, 9], "area": 81},
      {"id": 5, "image_id": 4, "category_id": 1, "bbox": [-9, 1, 20, 200], "area": 81,
       "iscrowd": 1}]})",
                                         {.boxes_as_written = true}, &findings));

  FilterForTraining({}, &data, &findings);

  EXPECT_THAT(Images(data), ElementsAre("outside", "flat", "ignore", "out"));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(data.samples[i].objects.empty()) << i;
  ASSERT_EQ(data.samples[3].objects.size(), 2U);
  EXPECT_EQ(data.samples[3].objects[0].box, (vision::Box{98.5, 1, 99, 10}));
  EXPECT_EQ(data.samples[3].objects[1].box, (vision::Box{0, 1, 11, 99}));
  EXPECT_EQ(findings.count("objects outside of their image, left out of the training"), 1U);
  EXPECT_EQ(findings.count("objects of less than a pixel, left out of the training"), 1U);
  EXPECT_EQ(findings.count("objects marked 'ignore', left out of the training"), 1U);
}

}  // namespace
}  // namespace trainer
