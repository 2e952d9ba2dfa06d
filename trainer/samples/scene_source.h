// Drawn scenes as a source of images: no files, as many as one likes.
#ifndef DUET_TRAINER_SAMPLES_SCENE_SOURCE_H_
#define DUET_TRAINER_SAMPLES_SCENE_SOURCE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "trainer/samples/image_source.h"
#include "trainer/scenes/scene.h"

namespace trainer {

class SceneSource : public ImageSource {
 public:
  // The scenes draw(0) to draw(count - 1). `draw` is called from several threads at once and gives
  // the same scene for the same number, with the demo's shapes only.
  SceneSource(std::size_t count, std::function<Scene(std::uint64_t n)> draw)
      : count_(count), draw_(std::move(draw)) {}

  // The names of the shapes.
  const std::vector<std::string>& classes() const override;
  std::size_t size() const override { return count_; }
  std::string name(std::size_t index) const override;
  // Never an error.
  absl::StatusOr<TrainingImage> Load(std::size_t index) const override;

 private:
  const std::size_t count_;
  const std::function<Scene(std::uint64_t n)> draw_;
};

}  // namespace trainer

#endif  // DUET_TRAINER_SAMPLES_SCENE_SOURCE_H_
