// Where a trainer's pictures come from: drawn scenes today, a project's annotations one day.
#ifndef DUET_TRAINER_PICTURE_SOURCE_H_
#define DUET_TRAINER_PICTURE_SOURCE_H_

#include <cstdint>
#include <functional>

#include "trainer/scenes/scene.h"

namespace trainer {

// The n-th picture of an endless sequence, with its ground truth. Called from several threads at
// once; the same n gives the same picture.
using PictureSource = std::function<Scene(std::uint64_t n)>;

}  // namespace trainer

#endif  // DUET_TRAINER_PICTURE_SOURCE_H_
