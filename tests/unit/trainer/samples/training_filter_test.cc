#include "trainer/samples/training_filter.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

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

}  // namespace
}  // namespace trainer
