#include "trainer/gate/compare_detections.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <opencv2/core/mat.hpp>

namespace trainer {
namespace {

using testing::ElementsAre;

constexpr vision::Box kLeft{0, 0, 10, 10};
constexpr vision::Box kRight{20, 0, 30, 10};
constexpr int kCat = 0;
constexpr int kDog = 1;

// Each image has a cat on the left and a dog on the right.
dataset::Dataset CatsAndDogs(std::size_t images) {
  dataset::Dataset truth{.classes = {"cat", "dog", "cow"}, .samples = {}};
  for (std::size_t i = 0; i < images; ++i) {
    dataset::Sample& sample = truth.samples.emplace_back();
    sample.size = {40, 20};
    for (const int class_index : {kCat, kDog}) {
      dataset::Object& object = sample.objects.emplace_back();
      object.class_index = class_index;
      object.box = class_index == kCat ? kLeft : kRight;
      object.area = 100;
    }
  }
  return truth;
}

// Finds the cat in the first `cats` images and the dog in the first `dogs`.
DetectionsByImage Finding(std::size_t images, std::size_t cats, std::size_t dogs) {
  DetectionsByImage detections(images);
  for (std::size_t i = 0; i < images; ++i) {
    if (i < cats)
      detections[i].push_back({.class_index = kCat, .box = kLeft, .score = 0.9F, .mask = {}});
    if (i < dogs)
      detections[i].push_back({.class_index = kDog, .box = kRight, .score = 0.9F, .mask = {}});
  }
  return detections;
}

// Of 20 images 10 are recall 0.5, which 51 of 101 points reach.
TEST(CompareDetectionsTest, HasTheFiguresOfBoth) {
  const DetectionComparison comparison =
      CompareDetections(CatsAndDogs(20), Finding(20, 10, 20), Finding(20, 20, 20), {});

  EXPECT_EQ(comparison.verdict.decision, Decision::kBetter);
  EXPECT_EQ(comparison.images, 20u);
  EXPECT_EQ(comparison.objects, 40u);
  EXPECT_NEAR(comparison.ap->old_score, (51.0 / 101 + 1) / 2, 1e-9);
  EXPECT_NEAR(comparison.ap50->new_score, 1, 1e-9);
  EXPECT_NEAR(comparison.by_class[kCat].ap50->value(), 50.0 / 101, 1e-9);
  EXPECT_EQ(comparison.by_class[kCat].objects, 20u);
  EXPECT_EQ(comparison.by_class[2].ap50, std::nullopt) << "no cows";
  // The share of cats that the old one finds varies by sqrt(0.5 * 0.5 / 19).
  EXPECT_NEAR(comparison.by_class[kCat].ap50->error, 0.115, 0.01);

  const boost::json::object report = ToJson(comparison);
  EXPECT_EQ(report.at("outcome"), "better");
  EXPECT_NEAR(report.at("new_score").as_double(), 1, 1e-9);
  EXPECT_TRUE(report.at("by_class").at("cow").is_null());
  EXPECT_EQ(report.at("by_class").at("dog").at("objects").to_number<int>(), 20);
}

// Dogs were new to the old one; cats suffer.
TEST(CompareDetectionsTest, ANewClassDoesNotPayForAnOldOne) {
  const DetectionComparison comparison =
      CompareDetections(CatsAndDogs(40), Finding(40, 40, 0), Finding(40, 20, 40), {});
  EXPECT_GT(comparison.ap->value(), 0.2);
  EXPECT_EQ(comparison.verdict.decision, Decision::kNotBetter);
  EXPECT_THAT(comparison.verdict.fallen, ElementsAre("cat"));
}

TEST(CompareDetectionsTest, TheSameDetectionsAreNotBetter) {
  const DetectionsByImage same = Finding(8, 4, 6);
  const DetectionComparison comparison = CompareDetections(CatsAndDogs(8), same, same, {});
  EXPECT_EQ(comparison.verdict.decision, Decision::kNotBetter);
}

// Cats and cows are found now. Dogs are on two of 40 images; that both are lost may be chance, but
// it is no improvement.
TEST(CompareDetectionsTest, ARareClassIsKnownFromItsOwnImages) {
  constexpr int kCow = 2;
  constexpr vision::Box kBelow{0, 10, 10, 20};
  dataset::Dataset truth = CatsAndDogs(40);
  DetectionsByImage now = Finding(40, 40, 0);
  for (std::size_t i = 0; i < 40; ++i) {
    if (i >= 2) truth.samples[i].objects.pop_back();
    dataset::Object& cow = truth.samples[i].objects.emplace_back();
    cow.class_index = kCow;
    cow.box = kBelow;
    cow.area = 100;
    now[i].push_back({.class_index = kCow, .box = kBelow, .score = 0.9F, .mask = {}});
  }
  const DetectionComparison comparison = CompareDetections(truth, Finding(40, 0, 2), now, {});
  EXPECT_EQ(comparison.by_class[kDog].ap50->images, 2);
  EXPECT_THAT(comparison.verdict.fallen, testing::IsEmpty());
  EXPECT_THAT(comparison.verdict.perhaps_fallen, ElementsAre("dog"));
  EXPECT_EQ(comparison.verdict.decision, Decision::kUndecided);
  EXPECT_THAT(comparison.verdict.reason,
              testing::AllOf(testing::HasSubstr("which would be better"),
                             testing::HasSubstr("dog goes from 1.00 to 0.00 on 2 images")));
}

// The boxes stay what they are, the masks are gone.
TEST(CompareDetectionsTest, MasksMayNotFall) {
  dataset::Dataset truth = CatsAndDogs(40);
  const auto mask_of = [](const vision::Box& box) {
    cv::Mat pixels = cv::Mat::zeros(20, 40, CV_8U);
    pixels(cv::Rect(static_cast<int>(box.x_min), 0, 10, 10)) = 1;
    return vision::MaskFromPixels(pixels);
  };
  DetectionsByImage with_masks = Finding(40, 20, 40);
  for (std::size_t i = 0; i < 40; ++i) {
    for (dataset::Object& object : truth.samples[i].objects) object.mask = mask_of(object.box);
    for (Detection& one : with_masks[i]) one.mask = mask_of(one.box);
  }
  const DetectionComparison comparison =
      CompareDetections(truth, with_masks, Finding(40, 40, 40), {});
  EXPECT_GT(comparison.ap->value(), 0.2);
  EXPECT_THAT(comparison.verdict.fallen, ElementsAre("masks"));
  EXPECT_EQ(CompareDetections(truth, Finding(40, 20, 40), Finding(40, 40, 40), {}).masks_ap50,
            std::nullopt);
}

// The annotations are the old model's boxes, accepted as they were; the new one draws its own, with
// an IoU of 9 / 11 with them, and finds all dogs besides.
TEST(CompareDetectionsTest, ToDrawBoxesAsTheOldModelIsNoMerit) {
  DetectionsByImage now = Finding(40, 40, 40);
  for (std::vector<Detection>& image : now) {
    for (Detection& one : image) {
      ++one.box.x_min;
      ++one.box.x_max;
    }
  }
  const DetectionComparison comparison =
      CompareDetections(CatsAndDogs(40), Finding(40, 40, 20), now, {});
  EXPECT_NEAR(comparison.ap->new_score, 1, 1e-9);
  EXPECT_EQ(comparison.verdict.decision, Decision::kBetter);
  EXPECT_THAT(comparison.verdict.reason, testing::HasSubstr("AP@[.5:.75] goes from"));
}

TEST(CompareDetectionsTest, ASingleImageDecidesNothing) {
  const DetectionComparison comparison =
      CompareDetections(CatsAndDogs(1), Finding(1, 0, 0), Finding(1, 1, 1), {});
  EXPECT_EQ(comparison.verdict.decision, Decision::kUndecided);
  EXPECT_TRUE(ToJson(comparison).at("ap").at("standard_error").is_null());
}

TEST(CompareDetectionsTest, MoreImagesAreNeededTheLessThereAre) {
  const auto needed = [](std::size_t images, std::size_t found) {
    return CompareDetections(CatsAndDogs(images), Finding(images, found, images),
                             Finding(images, found + 1, images), {})
        .verdict.images_needed;
  };
  EXPECT_GT(needed(6, 3), 6);
  EXPECT_GT(needed(12, 6), 12);
}

}  // namespace
}  // namespace trainer
