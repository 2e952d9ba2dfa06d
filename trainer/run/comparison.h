// An image as it was annotated, beside what a model found on it: for people to see what is wrong.
#ifndef DUET_TRAINER_RUN_COMPARISON_H_
#define DUET_TRAINER_RUN_COMPARISON_H_

#include <opencv2/core/mat.hpp>
#include <span>
#include <string>
#include <vector>

#include "trainer/evaluate/detection.h"
#include "trainer/samples/image_source.h"

namespace trainer {

// Two copies of the image: on the left what was annotated, on the right what was found, with
// classes and scores. CV_8UC3; large images are scaled down.
cv::Mat DrawComparison(const TrainingImage& image, std::span<const Detection> found,
                       const std::vector<std::string>& classes);

}  // namespace trainer

#endif  // DUET_TRAINER_RUN_COMPARISON_H_
