// Where a trainer's images come from.
#ifndef DUET_TRAINER_SCENE_SOURCE_H_
#define DUET_TRAINER_SCENE_SOURCE_H_

#include <cstdint>
#include <functional>

#include "trainer/scenes/scene.h"

namespace trainer {

// The n-th image of an endless sequence, with its ground truth. Called from several threads at
// once; the same n gives the same image.
using SceneSequence = std::function<Scene(std::uint64_t n)>;

}  // namespace trainer

#endif  // DUET_TRAINER_SCENE_SOURCE_H_
