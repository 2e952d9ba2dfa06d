#include "trainer/augment/batch_loader.h"

#include <gmock/gmock.h>
#include <pthread.h>

#include <memory>
#include <opencv2/core.hpp>
#include <optional>
#include <stdexcept>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/unit/trainer/augment/painted_source.h"

namespace trainer {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::ElementsAre;

constexpr int kSide = 64;

class BatchLoaderTest : public testing::Test {
 protected:
  std::vector<std::size_t> Sizes(BatchLoader& loader, int batches) {
    std::vector<std::size_t> sizes;
    for (int i = 0; i < batches; ++i) sizes.push_back(loader.Next()->size());
    return sizes;
  }

  const PaintedSource source_{7, 2, kSide};
  const Recipe recipe_ = RtmdetRecipe(ModelScale::kTiny, false, kSide);
  const TrainingSequence sequence_{source_, recipe_, {.seed = 2}};
};

TEST_F(BatchLoaderTest, TheLastBatchOfAnEpochIsWhatIsLeft) {
  BatchLoader loader(sequence_, {.batch_size = 3});

  EXPECT_THAT(Sizes(loader, 7), ElementsAre(3, 3, 1, 3, 3, 1, 3));
  EXPECT_EQ(BatchesPerEpoch(7, 3), 3U);
  EXPECT_EQ(BatchesPerEpoch(6, 3), 2U);
  EXPECT_EQ(BatchesPerEpoch(2, 3), 1U);
}

TEST_F(BatchLoaderTest, BatchesAreTheSequenceInItsOrderWithAnyNumberOfThreads) {
  for (const int threads : {1, 2, 5}) {
    BatchLoader loader(sequence_, {.batch_size = 3, .threads = threads, .batches_ahead = 3});
    std::uint64_t n = 0;
    for (int i = 0; i < 9; ++i) {
      ASSERT_OK_AND_ASSIGN(const std::vector<TrainingImage> batch, loader.Next());
      for (const TrainingImage& image : batch) {
        const TrainingImage expected = *sequence_.Load(n++);
        EXPECT_EQ(cv::norm(image.image, expected.image, cv::NORM_INF), 0) << n;
        EXPECT_EQ(image.objects.size(), expected.objects.size()) << n;
      }
    }
  }
}

TEST_F(BatchLoaderTest, GoesOnAtAnyBatch) {
  BatchLoader loader(sequence_, {.batch_size = 3, .first_batch = 4});  // the second of epoch 1

  ASSERT_OK_AND_ASSIGN(const std::vector<TrainingImage> batch, loader.Next());

  EXPECT_EQ(cv::norm(batch[0].image, sequence_.Load(10)->image, cv::NORM_INF), 0);
  EXPECT_EQ(loader.Next()->size(), 1U);
}

TEST_F(BatchLoaderTest, MakesNoMoreThanItIsAllowedAhead) {
  const PaintedSource many(1000, 1, kSide);
  Recipe recipe = recipe_;
  recipe.first = recipe.plain;
  recipe.first.allow_negative_crop = true;  // so that an image is one load
  const TrainingSequence sequence(many, recipe, {.memory_bytes = 0});
  BatchLoader loader(sequence, {.batch_size = 4, .threads = 2, .batches_ahead = 2});
  for (std::size_t given = 1; given < 5; ++given) {
    ASSERT_THAT(loader.Next(), IsOk());

    many.WaitForLoads(4 * (given + 2));
    // Time enough for a loader that knows no bound.
    for (std::uint64_t n = 0; n < 50; ++n) ASSERT_THAT(sequence_.Load(n), IsOk());

    EXPECT_EQ(many.loads(), 4 * (given + 2));
  }
}

TEST_F(BatchLoaderTest, AnErrorComesWithItsBatch) {
  const PaintedSource none(0, 1, kSide);
  const TrainingSequence sequence(none, recipe_, {});
  BatchLoader loader(sequence, {.batch_size = 2});

  EXPECT_THAT(loader.Next(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

// A source whose third image is beyond what its author thought of.
class ThrowingSource : public PaintedSource {
 public:
  using PaintedSource::PaintedSource;
  absl::StatusOr<TrainingImage> Load(std::size_t index) const override {
    if (index == 2) throw std::runtime_error("unforeseen");
    return PaintedSource::Load(index);
  }
};

TEST_F(BatchLoaderTest, AnExceptionOfAThreadIsAnErrorOfTheNextBatches) {
  const ThrowingSource source(7, 2, kSide);
  const TrainingSequence sequence(source, recipe_, {.seed = 2});
  for (const int threads : {1, 3}) {
    BatchLoader loader(sequence, {.batch_size = 7, .threads = threads});

    EXPECT_THAT(loader.Next(),
                StatusIs(absl::StatusCode::kInternal, testing::HasSubstr("unforeseen")));
  }
}

// Threads with a stack that no address space holds can't be started.
TEST_F(BatchLoaderTest, WithoutAThreadNextIsAnError) {
  pthread_attr_t usual;
  pthread_attr_t huge;
  ASSERT_EQ(pthread_getattr_default_np(&usual), 0);
  ASSERT_EQ(pthread_attr_init(&huge), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&huge, std::size_t{1} << 60), 0);
  ASSERT_EQ(pthread_setattr_default_np(&huge), 0);
  std::optional<BatchLoader> loader;
  EXPECT_NO_THROW(loader.emplace(sequence_, LoaderOptions{.batch_size = 2, .threads = 2}));
  ASSERT_EQ(pthread_setattr_default_np(&usual), 0);

  if (loader) {
    EXPECT_THAT(loader->Next(),
                StatusIs(absl::StatusCode::kResourceExhausted, testing::HasSubstr("thread")));
  }
}

TEST_F(BatchLoaderTest, ManyCanBeStartedAndStoppedAtOnce) {
  for (std::uint64_t i = 0; i < 20; ++i) {
    BatchLoader loader(sequence_, {.batch_size = 2, .threads = 3, .first_batch = i});
    if (i % 2 == 0) {
      ASSERT_THAT(loader.Next(), IsOk());
    }
  }
}

}  // namespace
}  // namespace trainer
