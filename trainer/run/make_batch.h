// From training images to what the network learns from.
#ifndef DUET_TRAINER_RUN_MAKE_BATCH_H_
#define DUET_TRAINER_RUN_MAKE_BATCH_H_

#include <vector>

#include "detector_service/config/detector_settings.h"
#include "trainer/detector/detector_trainer.h"
#include "trainer/samples/image_source.h"

namespace trainer {

// Normalises the images as the model's data_preprocessor does, which `settings` hold. REQUIRES: at
// least one image; all of one size.
Batch MakeBatch(std::vector<TrainingImage> images, const detector::DetectorSettings& settings);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_MAKE_BATCH_H_
