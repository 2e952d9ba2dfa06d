#include "trainer/augment/training_sequence.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/unit/trainer/augment/painted_source.h"
#include "vision/mask.h"

namespace trainer {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::HasSubstr;

constexpr int kSide = 96;

bool SameImage(const TrainingImage& a, const TrainingImage& b) {
  if (cv::norm(a.image, b.image, cv::NORM_INF) != 0) return false;
  return std::equal(a.objects.begin(), a.objects.end(), b.objects.begin(), b.objects.end(),
                    [](const TrainingObject& x, const TrainingObject& y) {
                      return x.box == y.box && x.class_index == y.class_index &&
                             x.ignored == y.ignored && (x.mask == nullptr) == (y.mask == nullptr) &&
                             (x.mask == nullptr || *x.mask == *y.mask);
                    });
}

// What can be checked against pixels: nothing changes colours or lays images over each other.
Pipeline Plain(Pipeline pipeline) {
  pipeline.hue_delta = pipeline.saturation_delta = pipeline.value_delta = 0;
  pipeline.mixup_probability = 0;
  pipeline.masks = true;
  return pipeline;
}

// The classes of an image's pixels by their colours, -1 for none, as CV_8SC1.
cv::Mat ClassesByColour(const PaintedSource& source, const cv::Mat& image) {
  cv::Mat classes(image.size(), CV_8SC1);
  for (int y = 0; y < image.rows; ++y) {
    for (int x = 0; x < image.cols; ++x) {
      classes.at<signed char>(y, x) =
          static_cast<signed char>(source.ObjectAt(image.at<cv::Vec3b>(y, x)));
    }
  }
  return classes;
}

// Whether the masks are the pixels of their colours. Not at outlines, where a bilinear pixel may be
// half of the one and half of the other colour, or a mixture that looks like a third.
void ExpectMasksAreThePixels(const PaintedSource& source, const TrainingImage& image) {
  const cv::Mat by_colour = ClassesByColour(source, image.image);
  cv::Mat by_mask(image.image.size(), CV_8SC1, cv::Scalar(-1));
  for (const TrainingObject& object : image.objects) {
    const cv::Mat mask = vision::ToPixels(*object.mask);
    ASSERT_EQ(mask.size(), image.image.size());
    by_mask.setTo(object.class_index, mask);
  }
  const cv::Mat wrong = by_mask != by_colour;
  // A pixel that is no edge in either, neither as it is nor a pixel on, is the same in both.
  cv::Mat inner;
  const cv::Mat three = cv::Mat::ones(3, 3, CV_8UC1);
  for (int value = -1; value < static_cast<int>(source.classes().size()); ++value) {
    cv::Mat inside;
    cv::erode(by_colour == value, inside, three);
    inner = inner.empty() ? inside : cv::Mat(inner | inside);
  }
  EXPECT_EQ(cv::countNonZero(wrong & inner), 0);
  // But most of the outlines' pixels agree as well: if masks were a pixel off, half of those on two
  // sides wouldn't.
  const int edges = cv::countNonZero(~inner);
  EXPECT_LE(cv::countNonZero(wrong), edges / 5) << "of " << edges;
}

TEST(TrainingSequenceTest, MasksAreThePixelsOfTheirObjects) {
  const PaintedSource source(12, 4, kSide);
  for (const bool mosaic : {false, true}) {
    Recipe recipe = RtmdetRecipe(ModelScale::kSmall, /*masks=*/true, kSide);
    recipe.first = Plain(mosaic ? recipe.first : recipe.plain);
    const TrainingSequence sequence(source, recipe, {.seed = 5});
    for (std::uint64_t n = 0; n < 40; ++n) {
      SCOPED_TRACE(testing::Message() << (mosaic ? "mosaic " : "plain ") << n);
      ASSERT_OK_AND_ASSIGN(const TrainingImage image, sequence.Load(n));
      EXPECT_EQ(image.image.size(), cv::Size(kSide, kSide));
      ExpectMasksAreThePixels(source, image);
    }
  }
}

// Bilinear pixels at an object's edge are of its colour up to half a pixel outside of its box or
// inside of it; in an enlarged image that is half a pixel here, in a reduced one too.
TEST(TrainingSequenceTest, BoxesAreTightAroundThePixelsOfTheirObjects) {
  const PaintedSource source(12, 1, kSide);
  for (const bool mosaic : {false, true}) {
    Recipe recipe = RtmdetRecipe(ModelScale::kTiny, /*masks=*/false, kSide);
    recipe.first = Plain(mosaic ? recipe.first : recipe.plain);
    recipe.first.masks = false;
    const TrainingSequence sequence(source, recipe, {.seed = 6});
    for (std::uint64_t n = 0; n < 40; ++n) {
      ASSERT_OK_AND_ASSIGN(const TrainingImage image, sequence.Load(n));
      const cv::Mat painted = ClassesByColour(source, image.image) == 0;
      cv::Mat boxes = cv::Mat::zeros(image.image.size(), CV_8UC1);
      for (const TrainingObject& object : image.objects) {
        const vision::Box& box = object.box;
        // Pixels whose centres are inside.
        const cv::Rect inside(cv::Point(cvCeil(box.x_min - 0.5F), cvCeil(box.y_min - 0.5F)),
                              cv::Point(cvCeil(box.x_max - 0.5F), cvCeil(box.y_max - 0.5F)));
        boxes(inside) = 255;
        // Of a strip along a border there may be no pixel that is more than half of the object.
        if (inside.width < 2 || inside.height < 2) continue;
        const vision::Box tight = vision::TightBox(vision::MaskFromPixels(painted(inside)));
        EXPECT_NEAR(tight.x_min, 0, 1) << n;
        EXPECT_NEAR(tight.y_min, 0, 1) << n;
        EXPECT_NEAR(tight.x_max, inside.width, 1) << n;
        EXPECT_NEAR(tight.y_max, inside.height, 1) << n;
      }
      cv::Mat grown;
      cv::dilate(boxes, grown, cv::Mat::ones(3, 3, CV_8UC1));
      EXPECT_EQ(cv::countNonZero(painted & ~grown), 0) << "an object without a box, " << n;
    }
  }
}

TEST(TrainingSequenceTest, AMixedImageHasTheObjectsOfBoth) {
  const PaintedSource source(12, 4, kSide);
  Recipe mixing = RtmdetRecipe(ModelScale::kSmall, /*masks=*/true, kSide);
  mixing.first = Plain(mixing.first);
  Recipe alone = mixing;
  mixing.first.mixup_probability = 1;
  const TrainingSequence mixed_images(source, mixing, {.seed = 7});
  const TrainingSequence single_images(source, alone, {.seed = 7});
  ASSERT_OK_AND_ASSIGN(const TrainingImage first, mixed_images.Load(0));
  ASSERT_OK_AND_ASSIGN(const TrainingImage first_alone, single_images.Load(0));
  EXPECT_TRUE(SameImage(first, first_alone)) << "there is nothing to mix it with";

  for (std::uint64_t n = 1; n < 25; ++n) {
    ASSERT_OK_AND_ASSIGN(const TrainingImage mixed, mixed_images.Load(n));
    ASSERT_OK_AND_ASSIGN(const TrainingImage single, single_images.Load(n));
    ASSERT_GT(mixed.objects.size(), single.objects.size());
    // What lies over it is what is missing from the mean, to the half that it cuts off.
    TrainingImage over{.image = cv::Mat(single.image.size(), CV_8UC3), .objects = {}};
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        for (int channel = 0; channel < 3; ++channel) {
          const int mean = mixed.image.at<cv::Vec3b>(y, x)[channel];
          const int one = single.image.at<cv::Vec3b>(y, x)[channel];
          over.image.at<cv::Vec3b>(y, x)[channel] =
              cv::saturate_cast<unsigned char>(2 * mean - one);
        }
      }
    }
    const auto count = static_cast<std::ptrdiff_t>(single.objects.size());
    over.objects.assign(mixed.objects.begin() + count, mixed.objects.end());
    SCOPED_TRACE(n);
    ExpectMasksAreThePixels(source, over);
    TrainingImage below{.image = single.image, .objects = {}};
    below.objects.assign(mixed.objects.begin(), mixed.objects.begin() + count);
    EXPECT_TRUE(SameImage(below, single));
  }
}

TEST(TrainingSequenceTest, AnImageDependsOnSeedAndNumberAlone) {
  const PaintedSource source(9, 3, kSide);
  const Recipe recipe = RtmdetRecipe(ModelScale::kTiny, /*masks=*/true, kSide);
  const TrainingSequence forwards(source, recipe, {.seed = 3, .plain_from = 40});
  const TrainingSequence forgetful(source, recipe,
                                   {.seed = 3, .plain_from = 40, .memory_bytes = 0});
  const TrainingSequence other_seed(source, recipe, {.seed = 4, .plain_from = 40});
  std::vector<TrainingImage> images;
  for (std::uint64_t n = 0; n < 50; ++n) images.push_back(*forwards.Load(n));

  int like_other_seed = 0;
  for (std::uint64_t n = 50; n-- > 0;) {
    EXPECT_TRUE(SameImage(*forgetful.Load(n), images[n])) << n;
    like_other_seed += SameImage(*other_seed.Load(n), images[n]) ? 1 : 0;
  }
  EXPECT_EQ(like_other_seed, 0);
  EXPECT_LT(source.loads(), 2000U);
}

TEST(TrainingSequenceTest, ThreadsMakeTheSameImages) {
  const PaintedSource source(9, 3, kSide);
  const Recipe recipe = RtmdetRecipe(ModelScale::kTiny, /*masks=*/true, kSide);
  const TrainingSequence alone(source, recipe, {.seed = 3});
  const TrainingSequence shared(source, recipe, {.seed = 3});
  std::vector<TrainingImage> images(60);

  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint64_t n = thread; n < images.size(); n += 4) images[n] = *shared.Load(n);
    });
  }
  for (std::thread& thread : threads) thread.join();

  for (std::uint64_t n = 0; n < images.size(); ++n) {
    EXPECT_TRUE(SameImage(*alone.Load(n), images[n])) << n;
  }
}

// Every image is in memory after the first epoch, also one of many megapixels.
TEST(TrainingSequenceTest, AMosaicLoadsAnImageOnce) {
  const PaintedSource source(30, 3, kSide);
  Recipe recipe = RtmdetRecipe(ModelScale::kTiny, false, kSide);
  recipe.first.allow_negative_crop = true;  // or others are loaded in place of such an image
  const TrainingSequence sequence(source, recipe, {});

  for (std::uint64_t n = 0; n < 90; ++n) ASSERT_THAT(sequence.Load(n), IsOk());

  // The first four are no mosaics yet, so that they were loaded as they are, too.
  EXPECT_LE(source.loads(), 34U);
}

// A mosaic's centre is part of four images; colours tell which.
TEST(TrainingSequenceTest, ThereIsNoMosaicBeforeThereAreImagesForIt) {
  const PaintedSource source(12, 1, kSide);
  Recipe recipe = RtmdetRecipe(ModelScale::kTiny, false, kSide);
  recipe.first = Plain(recipe.first);
  recipe.first.resize_scale = kSide;
  recipe.first.min_resize_ratio = recipe.first.max_resize_ratio = 1;
  const TrainingSequence sequence(source, recipe, {.seed = 8});

  for (std::uint64_t n = 0; n < 4; ++n) {
    EXPECT_EQ(sequence.Load(n)->objects.size(), 1U) << n;
  }
  std::size_t most = 0;
  for (std::uint64_t n = 4; n < 20; ++n) most = std::max(most, sequence.Load(n)->objects.size());
  EXPECT_GT(most, 2U);
}

TEST(TrainingSequenceTest, ThePlainPipelineBeginsWhereTold) {
  const PaintedSource source(12, 1, kSide);
  const Recipe recipe = RtmdetRecipe(ModelScale::kTiny, false, kSide);
  const TrainingSequence sequence(source, recipe, {.seed = 8, .plain_from = 24});
  Recipe plain = recipe;
  plain.first = plain.plain;
  const TrainingSequence all_plain(source, plain, {.seed = 8});

  EXPECT_FALSE(SameImage(*sequence.Load(23), *all_plain.Load(23)));
  for (std::uint64_t n = 24; n < 30; ++n) {
    EXPECT_TRUE(SameImage(*sequence.Load(n), *all_plain.Load(n)));
  }
}

// Every epoch has every image once.
TEST(ImageOrderTest, EveryEpochIsAShuffledListOfAll) {
  const ImageOrder order(7, 1);
  std::set<std::vector<std::size_t>> orders;
  for (std::uint64_t epoch = 0; epoch < 50; ++epoch) {
    std::vector<std::size_t> indices;
    for (std::uint64_t i = 0; i < 7; ++i) indices.push_back(order.At(epoch * 7 + i));
    orders.insert(indices);
    EXPECT_EQ(std::set<std::size_t>(indices.begin(), indices.end()).size(), 7U);
  }
  EXPECT_GT(orders.size(), 45U) << "of 5040";
}

// A source some of whose images can't be read.
class DamagedSource : public PaintedSource {
 public:
  DamagedSource(std::size_t count, std::set<std::size_t> damaged, int objects)
      : PaintedSource(count, objects, kSide), damaged_(std::move(damaged)) {}

  absl::StatusOr<TrainingImage> Load(std::size_t index) const override {
    if (damaged_.contains(index)) return absl::Status(code, "image '" + name(index) + "': torn");
    return PaintedSource::Load(index);
  }

  absl::StatusCode code = absl::StatusCode::kDataLoss;

 private:
  const std::set<std::size_t> damaged_;
};

TEST(TrainingSequenceTest, AnImageThatCannotBeReadIsReplacedByTheNextAndCounted) {
  const DamagedSource source(6, {2, 3}, 1);
  const TrainingSequence sequence(source, RtmdetRecipe(ModelScale::kTiny, false, kSide), {});

  for (std::uint64_t n = 0; n < 12; ++n) EXPECT_THAT(sequence.Load(n), IsOk());

  EXPECT_THAT(sequence.Unloadable(),
              testing::ElementsAre(testing::Pair(2, "image 'painted 2': torn"),
                                   testing::Pair(3, "image 'painted 3': torn")));
}

// What a missing or damaged file, an undecodable one, and one of another size give.
TEST(TrainingSequenceTest, OnlyAnErrorOfTheImageItselfTakesItOutOfTheTraining) {
  for (const absl::StatusCode code :
       {absl::StatusCode::kDataLoss, absl::StatusCode::kNotFound,
        absl::StatusCode::kFailedPrecondition, absl::StatusCode::kInvalidArgument,
        absl::StatusCode::kPermissionDenied}) {
    DamagedSource source(6, {2, 3}, 1);
    source.code = code;
    const TrainingSequence sequence(source, RtmdetRecipe(ModelScale::kTiny, false, kSide), {});
    EXPECT_EQ(sequence.unloadable_count(), 0U);
    for (std::uint64_t n = 0; n < 12; ++n) EXPECT_THAT(sequence.Load(n), IsOk()) << code;
    EXPECT_EQ(sequence.unloadable_count(), 2U) << code;
  }
  for (const absl::StatusCode code :
       {absl::StatusCode::kResourceExhausted, absl::StatusCode::kUnavailable,
        absl::StatusCode::kInternal, absl::StatusCode::kUnknown}) {
    DamagedSource source(6, {0, 1, 2, 3, 4, 5}, 1);
    source.code = code;
    const TrainingSequence sequence(source, RtmdetRecipe(ModelScale::kTiny, false, kSide), {});
    EXPECT_THAT(sequence.Load(0), StatusIs(code, HasSubstr("torn")));
    EXPECT_EQ(sequence.unloadable_count(), 0U) << code;
  }
}

TEST(TrainingSequenceTest, NoImageAtAllIsAnError) {
  const DamagedSource source(2, {0, 1}, 1);
  const TrainingSequence sequence(source, RtmdetRecipe(ModelScale::kTiny, false, kSide), {});
  EXPECT_THAT(sequence.Load(0), StatusIs(absl::StatusCode::kFailedPrecondition,
                                         "none of 2 images can be loaded; the first: image "
                                         "'painted 0': torn"));

  const PaintedSource empty(0, 1, kSide);
  const TrainingSequence nothing(empty, RtmdetRecipe(ModelScale::kTiny, false, kSide), {});
  EXPECT_THAT(nothing.Load(0), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(TrainingSequenceTest, ImagesWithoutObjectsAreAnErrorUnlessTheRecipeTakesThem) {
  const PaintedSource source(2, 0, 32);
  Recipe recipe = RtmdetRecipe(ModelScale::kTiny, false, 32);
  const TrainingSequence sequence(source, recipe, {.plain_from = 0});
  EXPECT_THAT(sequence.Load(0),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("1000 crops in a row")));

  recipe.plain.allow_negative_crop = true;
  const TrainingSequence taking(source, recipe, {.plain_from = 0});
  ASSERT_OK_AND_ASSIGN(const TrainingImage image, taking.Load(0));
  EXPECT_TRUE(image.objects.empty());
}

// PaintedSource has masks for all its objects; here one of two has none.
class HalfMaskedSource : public PaintedSource {
 public:
  HalfMaskedSource() : PaintedSource(3, 2, kSide) {}

  absl::StatusOr<TrainingImage> Load(std::size_t index) const override {
    absl::StatusOr<TrainingImage> image = PaintedSource::Load(index);
    image->objects.front().mask = nullptr;
    return image;
  }
};

TEST(TrainingSequenceTest, WhereMasksAreWantedAnObjectWithoutOneIsIgnored) {
  const HalfMaskedSource source;
  for (const bool masks : {false, true}) {
    const TrainingSequence sequence(source, RtmdetRecipe(ModelScale::kTiny, masks, kSide),
                                    {.plain_from = 0});
    for (std::uint64_t n = 0; n < 10; ++n) {
      ASSERT_OK_AND_ASSIGN(const TrainingImage image, sequence.Load(n));
      for (const TrainingObject& object : image.objects) {
        EXPECT_EQ(object.ignored, masks && object.class_index == 0);
        EXPECT_EQ(object.mask == nullptr, !masks || object.class_index == 0);
      }
    }
  }
}

// Every other image has a box of a pixel's width, and nothing else.
class ThinBoxSource : public PaintedSource {
 public:
  explicit ThinBoxSource(std::size_t count) : PaintedSource(count, 1, kSide) {}

  absl::StatusOr<TrainingImage> Load(std::size_t index) const override {
    absl::StatusOr<TrainingImage> image = PaintedSource::Load(index);
    if (index % 2 == 0) image->objects[0].box = {10, 10, 11, 60};
    image->objects[0].mask = nullptr;
    return image;
  }
};

TEST(TrainingSequenceTest, AnImageWhoseBoxesAreAllFilteredAwayIsReplaced) {
  const ThinBoxSource source(8);
  Recipe recipe = RtmdetRecipe(ModelScale::kTiny, /*masks=*/true, kSide);
  recipe.plain.max_resize_ratio = 1;  // a pixel stays a pixel
  recipe.plain.allow_negative_crop = false;
  const TrainingSequence sequence(source, recipe, {.plain_from = 0});
  for (std::uint64_t n = 0; n < 16; ++n) {
    ASSERT_OK_AND_ASSIGN(const TrainingImage image, sequence.Load(n));
    ASSERT_EQ(image.objects.size(), 1U);
    EXPECT_GT(image.objects[0].box.width(), 1);
  }

  const ThinBoxSource alone(1);
  const TrainingSequence hopeless(alone, recipe, {.plain_from = 0});
  EXPECT_THAT(hopeless.Load(0), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace trainer
