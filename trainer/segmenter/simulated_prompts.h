// Prompts as a user would give them for an object that is known: Segment Anything's training
// (Kirillov et al. 2023, arXiv 2304.02643, "Training algorithm"). Knows no Torch.
//
// Prompts are in pixels of the network's input; low-res masks are what the mask decoder answers
// with, and cover the input, padding included.
#ifndef DUET_TRAINER_SEGMENTER_SIMULATED_PROMPTS_H_
#define DUET_TRAINER_SEGMENTER_SIMULATED_PROMPTS_H_

#include <opencv2/core/mat.hpp>

#include "segmenter_service/inference/preprocess.h"
#include "segmenter_service/inference/prompt.h"
#include "trainer/scenes/random.h"
#include "vision/geometry.h"

namespace trainer {

// How much of each low-res pixel the mask covers, 0 to 1: CV_32FC1 of `low_res_size` squared.
// Where bilinear scaling of logits puts an outline is where half of a pixel is covered. `mask`:
// CV_8UC1 of the image's size, 0 or 255.
cv::Mat CoverageOf(const cv::Mat& mask, const segmenter::InputGeometry& geometry, int low_res_size);

// A pixel of `mask`, each as likely as another. REQUIRES: `mask` is CV_8UC1 and not empty.
vision::Point RandomPixel(Random& random, const cv::Mat& mask);

// How far a simulated box may be off: Segment Anything's 20 pixels of its input of 1024.
float MostBoxNoise(const segmenter::InputGeometry& geometry);

// The box around the mask, whose sides are moved by normal noise with a tenth of the box's width or
// height as deviation, at most MostBoxNoise.
segmenter::Prompt BoxPrompt(Random& random, const cv::Mat& mask,
                            const segmenter::InputGeometry& geometry);

// A click on a random pixel of the mask.
segmenter::Prompt ClickPrompt(Random& random, const cv::Mat& mask,
                              const segmenter::InputGeometry& geometry);

// A click on a random low-res pixel of the image where the answer `logits` is wrong: foreground
// where the object is, else background. Where the answer is right everywhere, it is a click on the
// object. `coverage` as CoverageOf gave it; `logits` likewise CV_32FC1.
segmenter::PromptPoint CorrectiveClick(Random& random, const cv::Mat& logits,
                                       const cv::Mat& coverage,
                                       const segmenter::InputGeometry& geometry);

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_SIMULATED_PROMPTS_H_
