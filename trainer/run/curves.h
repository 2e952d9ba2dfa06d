// The curves of a training as a picture: losses, learning rate and AP over the steps.
#ifndef DUET_TRAINER_RUN_CURVES_H_
#define DUET_TRAINER_RUN_CURVES_H_

#include <string>

#include "trainer/run/history.h"

namespace trainer {

// An SVG document. Numbers that aren't finite are left out. It is the same for the same history.
std::string DrawCurves(const History& history);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_CURVES_H_
