// Colours to tell classes apart by: in pictures of them, and as a checkpoint's palette.
#ifndef DUET_TRAINER_RUN_CLASS_COLORS_H_
#define DUET_TRAINER_RUN_CLASS_COLORS_H_

#include <array>
#include <vector>

namespace trainer {

// RGB, 0 to 255 each; `count` different ones. The first ones don't depend on how many there are.
std::vector<std::array<int, 3>> ClassColors(int count);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_CLASS_COLORS_H_
