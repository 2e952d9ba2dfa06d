// Trains a small RTMDet on drawn scenes from nothing: mmdet's losses (detector/detector_losses.h),
// AdamW, flat then cosine, gradients clipped; the moving average of the weights is the result. A
// step's images are split over replicas. Fine-tuning is detector/detector_trainer.h's.
#ifndef DUET_TRAINER_DEMO_DETECTOR_H_
#define DUET_TRAINER_DEMO_DETECTOR_H_

#include <cstddef>

#include "detector_service/rtmdet/rtmdet.h"
#include "trainer/optimization/schedule.h"
#include "trainer/samples/image_source.h"

namespace trainer {

struct DetectorTraining {
  FlatCosineSchedule schedule;
  // Side of the square input, into which images are fitted.
  int input_size = 256;
  int images_per_replica = 4;
  int replicas = 4;
  double weight_decay = 0.05;
  double max_gradient_norm = 35;
  double average_momentum = 0.002;
  double average_gamma = 200;
};

// How many images a training takes.
std::size_t ImagesOf(const DetectorTraining& training);

// Learns from each of the first ImagesOf(training) images once, in their order. Leaves the averaged
// weights in `detector`, in eval mode. REQUIRES: there are as many. Throws c10::Error.
void TrainDetector(const DetectorTraining& training, const ImageSource& images,
                   detector::Rtmdet& detector);

}  // namespace trainer

#endif  // DUET_TRAINER_DEMO_DETECTOR_H_
