#include "trainer/samples/dataset_source.h"

#include <gmock/gmock.h>

#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <utility>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace trainer {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;

const std::string kImages = DUET_TEST_DATA "/images";

dataset::Dataset OneImage(std::string image, vision::Size size) {
  dataset::Dataset data{{"cat", "dog"}, {}};
  dataset::Sample& sample = data.samples.emplace_back();
  sample.image = std::move(image);
  sample.size = size;
  return data;
}

bool SamePixels(const cv::Mat& a, const cv::Mat& b) {
  return a.size() == b.size() && a.type() == b.type() && cv::norm(a, b, cv::NORM_INF) == 0;
}

TEST(DatasetSourceTest, LoadsWhatImreadLoads) {
  for (const char* name : {"o1.jpg", "o6.jpg", "grey.jpg", "alpha.png", "grey.png", "rgb.bmp"}) {
    const DatasetSource source(OneImage(name, {}), kImages, /*masks=*/true);

    ASSERT_OK_AND_ASSIGN(const TrainingImage loaded, source.Load(0));

    EXPECT_TRUE(SamePixels(loaded.image, cv::imread(kImages + "/" + name, cv::IMREAD_COLOR)))
        << name;
  }
}

TEST(DatasetSourceTest, ObjectsKeepBoxClassMaskAndCrowd) {
  dataset::Dataset data = OneImage("rgb.bmp", {});
  dataset::Object object;
  object.class_index = 1;
  object.box = {1, 2, 3.5F, 4};
  object.crowd = true;
  data.samples[0].size = {20, 10};
  data.samples[0].objects.push_back(object);
  object.mask = vision::Mask{{20, 10}, {{2, 1, 3}}};
  object.crowd = false;
  data.samples[0].objects.push_back(object);
  cv::Mat image(10, 20, CV_8UC3, cv::Scalar(1, 2, 3));
  std::vector<unsigned char> png;
  cv::imencode(".png", image, png);
  data.samples[0].image_bytes = std::make_shared<const std::string>(png.begin(), png.end());

  const DatasetSource source(data, "", /*masks=*/true);
  ASSERT_OK_AND_ASSIGN(const TrainingImage loaded, source.Load(0));

  EXPECT_TRUE(SamePixels(loaded.image, image));
  ASSERT_THAT(loaded.objects, SizeIs(2));
  EXPECT_EQ(loaded.objects[0].box, (vision::Box{1, 2, 3.5F, 4}));
  EXPECT_EQ(loaded.objects[0].class_index, 1);
  EXPECT_TRUE(loaded.objects[0].ignored);
  EXPECT_EQ(loaded.objects[0].mask, nullptr);
  EXPECT_FALSE(loaded.objects[1].ignored);
  ASSERT_NE(loaded.objects[1].mask, nullptr);
  EXPECT_EQ(*loaded.objects[1].mask, *object.mask);

  const DatasetSource boxes_alone(data, "", /*masks=*/false);
  ASSERT_OK_AND_ASSIGN(const TrainingImage without, boxes_alone.Load(0));
  EXPECT_EQ(without.objects[1].mask, nullptr);
}

TEST(DatasetSourceTest, AMissingImageIsNamed) {
  const DatasetSource source(OneImage("in/none.jpg", {4, 4}), kImages, true);

  EXPECT_THAT(source.Load(0),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("image 'in/none.jpg': ")));
}

TEST(DatasetSourceTest, AnImageOfAnotherSizeIsNamedWithBothSizes) {
  const cv::Mat found = cv::imread(kImages + "/o6.jpg", cv::IMREAD_COLOR);
  // As it is stored, not as it is shown.
  const vision::Size annotated{found.rows, found.cols};
  ASSERT_NE(found.rows, found.cols);
  const DatasetSource source(OneImage("o6.jpg", annotated), kImages, true);

  EXPECT_THAT(
      source.Load(0),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("image 'o6.jpg': "), HasSubstr(std::to_string(found.cols) + "x"),
                     HasSubstr("annotated as " + std::to_string(found.rows) + "x"))));
}

TEST(DatasetSourceTest, AnImageThatIsCutOffIsAnErrorThoughBrowsersShowIt) {
  const std::string whole = duet_testing::ReadFile(DUET_TEST_DATA "/scenes/scene_0.jpg");
  const duet_testing::TempDir folder;
  folder.Write("cut.jpg", whole.substr(0, whole.size() * 3 / 4));
  const DatasetSource source(OneImage("cut.jpg", {}), folder.path(), true);

  EXPECT_THAT(source.Load(0), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("'cut.jpg'")));
}

TEST(DatasetSourceTest, WhatIsNoImageIsAnError) {
  const duet_testing::TempDir folder;
  folder.Write("a.jpg", "<html>not found</html>");
  const DatasetSource source(OneImage("a.jpg", {}), folder.path(), true);

  EXPECT_THAT(source.Load(0), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'a.jpg'")));
}

}  // namespace
}  // namespace trainer
