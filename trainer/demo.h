// The pair of models that comes with the repository: sizes and recipes. They recognise drawn shapes
// (scenes/), and nothing else; they are there to run and to test everything else with, through the
// code that serves official weights.
#ifndef DUET_TRAINER_DEMO_H_
#define DUET_TRAINER_DEMO_H_

#include <absl/status/status.h>

#include <cstdint>
#include <opencv2/core/types.hpp>
#include <string>

#include "trainer/scenes/scene.h"

namespace trainer {

struct DemoOptions {
  std::uint64_t seed = 1;
  // 0: the recipe's own number. Fewer make weaker models, to try the machinery with.
  int steps = 0;
};

// Train a model from nothing and write it to `path`. The same seed gives the same file on the same
// kind of machine.
absl::Status TrainDemoDetector(const DemoOptions& options, const std::string& path);
absl::Status TrainDemoSegmenter(const DemoOptions& options, const std::string& path);

// How long the longer sides of training scenes are, pixels.
struct SceneSides {
  int least = 0;
  int most = 0;
};

// The n-th training scene, of varying proportions.
Scene DemoScene(std::uint64_t seed, std::uint64_t n, SceneSides sides, SceneOptions options = {});

}  // namespace trainer

#endif  // DUET_TRAINER_DEMO_H_
