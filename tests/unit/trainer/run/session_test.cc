// A training goes on without an image that is gone and without a batch that has no finite losses,
// and says so.
#include "trainer/run/session.h"

#include <ATen/Context.h>
#include <gmock/gmock.h>

#include <opencv2/core.hpp>
#include <sstream>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "trainer/detector/trainable_detector.h"

namespace trainer {
namespace {

using duet_testing::IsOk;
using duet_testing::StatusIs;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr int kSide = 64;

// Noise of blue and green with an object each, but for one that is white and one that isn't there.
class Images : public ImageSource {
 public:
  Images(std::size_t size, std::size_t white, std::size_t missing)
      : size_(size), white_(white), missing_(missing) {}

  const std::vector<std::string>& classes() const override { return classes_; }
  std::size_t size() const override { return size_; }
  std::string name(std::size_t index) const override { return std::to_string(index); }
  absl::StatusOr<TrainingImage> Load(std::size_t index) const override {
    if (index == missing_) return absl::NotFoundError("there is no such file");
    TrainingImage image{.image = cv::Mat(kSide, kSide, CV_8UC3, cv::Scalar::all(255)),
                        .objects = {{.box = {8, 8, 40, 48}, .class_index = 0}}};
    if (index == white_) return image;
    cv::RNG random(index + 1);
    random.fill(image.image, cv::RNG::UNIFORM, cv::Scalar(1, 1, 0), cv::Scalar(256, 256, 1));
    return image;
  }

 private:
  const std::vector<std::string> classes_ = {"cat"};
  const std::size_t size_;
  const std::size_t white_;
  const std::size_t missing_;
};

constexpr std::size_t kNone = 1000;

class SessionTest : public testing::Test {
 protected:
  // A training of eight epochs, an image a step.
  absl::Status Train(const Images& images) {
    at::manual_seed(3);
    truth_.classes = images.classes();
    for (std::size_t i = 0; i < images.size(); ++i) {
      truth_.samples.push_back({.image = images.name(i), .objects = {}});
      names_[images.name(i)] = "photo " + images.name(i);
    }
    plan_ = ChoosePlan(images.size(), {.epochs = 8, .batch = 1});
    // As they are: without red.
    const Pipeline pipeline{.side = kSide,
                            .resize_scale = kSide,
                            .hue_delta = 0,
                            .saturation_delta = 0,
                            .value_delta = 0};
    const TrainingSequence sequence(images, {.first = pipeline, .plain = pipeline}, {});
    auto trainer =
        DetectorTrainer::Make(MakeNetwork(detector::ScaledRtmdet(0.125, 0.167, /*num_classes=*/1)),
                              {.schedule = {.base = 1e-5,
                                            .epochs = plan_.epochs,
                                            .iterations_per_epoch = plan_.steps_per_epoch,
                                            .warmup_iterations = 1}});
    EXPECT_TRUE(trainer.ok()) << trainer.status();
    auto folder = RunFolder::Open(temp_.path() + "/out");
    EXPECT_TRUE(folder.ok()) << folder.status();
    auto log = RunLog::Open(folder->file("log.jsonl"), 0, [](const auto&) {});
    EXPECT_TRUE(log.ok()) << log.status();
    Display display(DisplayKind::kLines, out_);
    // Red is infinite then, and without red nothing is.
    const detector::DetectorSettings settings{
        .input_size = {kSide, kSide}, .mean = {0, 0, 0}, .std = {100, 100, 1e-38F}};
    const Images no_validation(0, kNone, kNone);
    const dataset::Dataset no_truth;
    const checkpoint::Meta meta;
    Session session({.folder = *folder,
                     .log = *log,
                     .display = display,
                     .history = history_,
                     .trainer = **trainer,
                     .sequence = sequence,
                     .train_truth = truth_,
                     .names = names_,
                     .validation = no_validation,
                     .validation_truth = no_truth,
                     .plan = plan_,
                     .settings = settings,
                     .meta = meta,
                     .palette = {{1, 2, 3}},
                     .save_every = absl::Minutes(5),
                     .stop_requested = [] { return false; }},
                    {});
    const absl::Status status = session.Run();
    state_ = session.state();
    return status;
  }

  const duet_testing::TempDir temp_;
  dataset::Dataset truth_;
  std::map<std::string, std::string> names_;
  TrainingPlan plan_;
  History history_;
  RunState state_;
  std::ostringstream out_;
};

TEST_F(SessionTest, ABatchWithoutFiniteLossesIsSkippedAndCounted) {
  ASSERT_THAT(Train(Images(4, /*white=*/2, kNone)), IsOk());

  EXPECT_EQ(state_.step, plan_.steps());
  EXPECT_THAT(state_.skipped_batches, testing::AnyOf(10, 11))
      << "each turn of the white image in 42 batches or 43";
  EXPECT_THAT(out_.str(), HasSubstr("the batch is skipped"));
}

TEST_F(SessionTest, OnlyBatchesWithoutFiniteLossesEndIt) {
  EXPECT_THAT(Train(Images(1, /*white=*/0, kNone)),
              StatusIs(absl::StatusCode::kOutOfRange,
                       AllOf(HasSubstr("step 1: "), HasSubstr("9 batches before"),
                             HasSubstr("lower --lr"), HasSubstr("in another --out"))));
  EXPECT_EQ(state_.step, 0);
}

TEST_F(SessionTest, AnImageThatIsGoneIsNamedOnceAsPeopleCallIt) {
  ASSERT_THAT(Train(Images(4, kNone, /*missing=*/2)), IsOk());

  EXPECT_EQ(state_.step, plan_.steps());
  EXPECT_THAT(history_.unloadable, ElementsAre(Pair("photo 2", HasSubstr("no such file"))));
  const std::string out = out_.str();
  const std::size_t said = out.find("1 images that can't be read any more");
  ASSERT_NE(said, std::string::npos) << out;
  EXPECT_EQ(out.find("can't be read any more", said + 60), std::string::npos) << out;
  EXPECT_THAT(out, HasSubstr("'photo 2': there is no such file"));
}

}  // namespace
}  // namespace trainer
