// Scenes that no model is trained on: another sequence of seeds than training's, and the formats
// that users' images come in instead of the network's input size.
#ifndef DUET_TRAINER_SCENES_HELD_OUT_H_
#define DUET_TRAINER_SCENES_HELD_OUT_H_

#include <cstdint>
#include <vector>

#include "trainer/scenes/scene.h"

namespace trainer {

// The first `count` held-out scenes of this seed: square, landscape, portrait and small ones in
// turn. `shapes`: as in SceneOptions.
std::vector<Scene> HeldOutScenes(std::uint64_t seed, int count,
                                 const std::vector<Shape>& shapes = {});

}  // namespace trainer

#endif  // DUET_TRAINER_SCENES_HELD_OUT_H_
