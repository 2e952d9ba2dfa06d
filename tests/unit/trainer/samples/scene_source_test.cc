#include "trainer/samples/scene_source.h"

#include <gmock/gmock.h>

#include <opencv2/core.hpp>

#include "tests/testing/status_matchers.h"

namespace trainer {
namespace {

TEST(SceneSourceTest, ASceneIsAnImageWithItsObjects) {
  const auto draw = [](std::uint64_t n) { return DrawScene(n, {.size = {120, 90}}); };
  const SceneSource source(3, draw);

  ASSERT_OK_AND_ASSIGN(const TrainingImage loaded, source.Load(2));

  EXPECT_EQ(source.size(), 3U);
  EXPECT_EQ(source.name(2), "scene 2");
  EXPECT_EQ(source.classes(), ShapeNames());
  const Scene scene = draw(2);
  EXPECT_EQ(cv::norm(loaded.image, scene.image, cv::NORM_INF), 0);
  ASSERT_EQ(loaded.objects.size(), scene.objects.size());
  for (std::size_t i = 0; i < scene.objects.size(); ++i) {
    EXPECT_EQ(loaded.objects[i].box, scene.objects[i].box);
    EXPECT_EQ(loaded.objects[i].class_index, static_cast<int>(scene.objects[i].shape));
    EXPECT_EQ(*loaded.objects[i].mask, vision::MaskFromPixels(scene.objects[i].mask));
    EXPECT_FALSE(loaded.objects[i].ignored);
  }
}

}  // namespace
}  // namespace trainer
