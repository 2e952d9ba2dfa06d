// duet-trainer with the real duet-train: a training of seconds on drawn scenes.
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "model_store/model_store.h"
#include "tests/integration/trainer_service/fake_project.h"
#include "tests/integration/trainer_service/trainer_process.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "trainer/scenes/held_out.h"
#include "trainer/scenes/scene_files.h"

namespace trainer_service::testing {
namespace {

using duet_testing::IsOk;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kDemo[] = DUET_SOURCE_DIR "/models/demo/rtmdet-demo.pth";
constexpr char kSegmenter[] = DUET_SOURCE_DIR "/models/demo/sam-demo.pth";

FakeProject::Annotation Annotate(const trainer::Scene& scene) {
  FakeProject::Annotation annotation;
  const double width = scene.image.cols, height = scene.image.rows;
  for (const trainer::SceneObject& object : scene.objects) {
    const auto& box = object.box;
    annotation.result.push_back(
        Rectangle(std::string(trainer::NameOf(object.shape)), 100 * box.x_min / width,
                  100 * box.y_min / height, 100 * (box.x_max - box.x_min) / width,
                  100 * (box.y_max - box.y_min) / height, scene.image.cols, scene.image.rows));
  }
  return annotation;
}

// The first thing on the scene, outlined.
FakeProject::Annotation Outline(const trainer::Scene& scene) {
  const double width = scene.image.cols, height = scene.image.rows;
  const auto& box = scene.objects.front().box;
  return {.result = {Diamond("star", 100 * box.x_min / width, 100 * box.y_min / height,
                             100 * (box.x_max - box.x_min) / width,
                             100 * (box.y_max - box.y_min) / height, scene.image.cols,
                             scene.image.rows)}};
}

class RealTrainingTest : public ::testing::Test {
 protected:
  RealTrainingTest() {
    const duet_testing::TempDir files;
    const std::vector<trainer::Scene> scenes = trainer::HeldOutScenes(/*seed=*/3, /*count=*/8);
    for (std::size_t i = 0; i < scenes.size(); ++i) {
      const std::string name = absl::StrCat("scene_", i);
      EXPECT_THAT(trainer::WriteScene(scenes[i], files.path(), name), IsOk());
      const std::string image = duet_testing::ReadFile(files.path() + "/" + name + ".jpg");
      studio_.AddTask(static_cast<std::int64_t>(i) + 1, image, {Annotate(scenes[i])});
      outlined_.AddTask(static_cast<std::int64_t>(i) + 1, image, {Outline(scenes[i])});
    }
  }

  FakeProject studio_{{"circle", "square", "triangle", "star", "ring", "cross", "hexagon", "heart",
                       "crescent", "arrow"}};
  FakeProject outlined_{{"star"}};  // the same images, with masks
};

TEST_F(RealTrainingTest, ScenesBecomeAVersionThatLoads) {
  TrainerProcess trainer(studio_.url(), DUET_TRAIN,
                         {absl::StrCat("--checkpoint=", kDemo), "--threads=2",
                          "--train_flags=--epochs=2,--input_size=64,--batch=4"});
  trainer.Start();
  bool stepped = false, measured = false;

  const pb::Job job = trainer.Train(7, [&](const pb::Job& now) {
    stepped = stepped || (now.progress().steps() > 0 && now.progress().has_loss());
    measured = measured || now.progress().has_score();
  });

  ASSERT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_TRUE(stepped);
  EXPECT_TRUE(measured);
  EXPECT_NE(job.verdict().outcome(), pb::Verdict::OUTCOME_UNSPECIFIED);
  EXPECT_GT(job.verdict().old_score(), 0.5) << "the demo model knows these shapes";
  const model_store::ModelStore store(trainer.model_root());
  ASSERT_THAT(store.VerifyVersion(model_store::Kind::kDetector, "project-7", 1), IsOk());
  ASSERT_OK_AND_ASSIGN(
      const checkpoint::Checkpoint model,
      checkpoint::ReadCheckpoint(store.PathOf(model_store::Kind::kDetector, "project-7", 1) +
                                 "/model.pth"));
  EXPECT_EQ(model.meta.classes.size(), 10u);
  EXPECT_THAT(trainer.Leftovers(), IsEmpty());
}

TEST_F(RealTrainingTest, OutlinesBecomeAVersionOfTheSegmenterThatLoads) {
  TrainerProcess trainer(
      outlined_.url(), DUET_TRAIN,
      {absl::StrCat("--checkpoint=", kDemo), absl::StrCat("--segmenter_checkpoint=", kSegmenter),
       "--threads=2", "--segmenter_train_flags=--epochs=1,--corrections=1,--batch=2"});
  trainer.Start();
  pb::TrainRequest request;
  request.set_project_id(7);
  request.set_kind(pb::MODEL_KIND_SEGMENTER);
  bool measured = false;

  const pb::Job job = trainer.Train(
      request, [&](const pb::Job& now) { measured = measured || now.progress().has_score(); });

  ASSERT_EQ(job.state(), pb::Job::STATE_DONE) << job.DebugString();
  EXPECT_TRUE(measured);
  EXPECT_EQ(job.annotations(), 8u);
  EXPECT_THAT(job.message(), HasSubstr("IoU from a box goes from "));
  EXPECT_GT(job.verdict().old_score(), 0.3) << "diamonds are no stars, but not far from them";
  constexpr model_store::Kind kKind = model_store::Kind::kSegmenter;
  const model_store::ModelStore store(trainer.model_root());
  ASSERT_THAT(store.VerifyVersion(kKind, "project-7", 1), IsOk());
  EXPECT_THAT(checkpoint::ReadCheckpoint(store.PathOf(kKind, "project-7", 1) + "/model.pth"),
              IsOk());
  EXPECT_THAT(trainer.Leftovers(), IsEmpty());
}

TEST_F(RealTrainingTest, WithoutMemoryItEndsWithASentence) {
  TrainerProcess trainer(studio_.url(), DUET_TRAIN,
                         {absl::StrCat("--checkpoint=", kDemo), "--max_memory_mb=1024",
                          "--train_flags=--input_size=2048,--batch=32,--epochs=1"});
  trainer.Start();

  const pb::Job job = trainer.Train();

  EXPECT_EQ(job.state(), pb::Job::STATE_FAILED) << job.DebugString();
  EXPECT_THAT(job.message(), HasSubstr("out of memory"));
  EXPECT_THAT(trainer.Leftovers(), IsEmpty());
  EXPECT_EQ(trainer.Stop(SIGTERM), 0) << "the trainer itself lives";
}

}  // namespace
}  // namespace trainer_service::testing
