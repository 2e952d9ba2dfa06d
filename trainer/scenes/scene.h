// Scenes: images that the project draws itself, with their ground truth, so that a pair of demo
// models can be trained and tested without any data set.
//
// A scene is a textured background with a few shapes of random class, size, angle and colour, later
// ones covering parts of earlier ones, then a little blur and noise. It is a pure function of its
// seed and options.
#ifndef DUET_TRAINER_SCENES_SCENE_H_
#define DUET_TRAINER_SCENES_SCENE_H_

#include <cstdint>
#include <opencv2/core/mat.hpp>
#include <vector>

#include "trainer/scenes/shape.h"
#include "vision/geometry.h"

namespace trainer {

struct SceneOptions {
  // Pixels.
  cv::Size size{512, 512};
  int min_objects = 2;
  int max_objects = 8;
  // Radius of a shape's outer circle, as a share of the longer side.
  double min_radius = 0.055;
  double max_radius = 0.17;
  // What is drawn, each as often as it is named here. Empty: the demo's classes.
  std::vector<Shape> shapes;
};

struct SceneObject {
  Shape shape = Shape::kCircle;
  // Tight about the visible pixels.
  vision::Box box;
  // CV_8UC1 of the scene's size: 255 where the shape is visible, else 0. Never empty.
  cv::Mat mask;
};

struct Scene {
  cv::Mat image;                     // CV_8UC3, BGR
  std::vector<SceneObject> objects;  // back to front; masks are disjoint; at least one
};

// Thread-safe.
Scene DrawScene(std::uint64_t seed, const SceneOptions& options);

// The seed of the n-th scene of a sequence. Sequences of different names ("train", "held-out")
// share no seed.
std::uint64_t SceneSeed(std::uint64_t seed, const char* sequence, std::uint64_t n);

}  // namespace trainer

#endif  // DUET_TRAINER_SCENES_SCENE_H_
