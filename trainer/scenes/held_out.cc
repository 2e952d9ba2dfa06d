#include "trainer/scenes/held_out.h"

namespace trainer {

std::vector<Scene> HeldOutScenes(std::uint64_t seed, int count, const std::vector<Shape>& shapes) {
  const std::vector<cv::Size> sizes{{512, 512}, {640, 480}, {384, 512}, {320, 240}};
  std::vector<Scene> scenes;
  for (int n = 0; n < count; ++n) {
    SceneOptions options{.shapes = shapes};
    options.size = sizes[static_cast<std::size_t>(n) % sizes.size()];
    scenes.push_back(
        DrawScene(SceneSeed(seed, "held-out", static_cast<std::uint64_t>(n)), options));
  }
  return scenes;
}

}  // namespace trainer
