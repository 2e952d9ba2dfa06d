// The rounds of prompts and answers by which objects of one image are learned
// (segmenter_tuner.h describes them).
#ifndef DUET_TRAINER_SEGMENTER_PROMPT_ROUNDS_H_
#define DUET_TRAINER_SEGMENTER_PROMPT_ROUNDS_H_

#include <functional>
#include <opencv2/core/mat.hpp>
#include <vector>

#include "segmenter_service/inference/embedding.h"
#include "trainer/scenes/random.h"
#include "trainer/segmenter/prompted_decoder.h"
#include "trainer/segmenter/sam_losses.h"

namespace trainer {

// Prompts the decoder for objects of the image: first with boxes or with clicks, then in `rounds`
// more rounds, of which the last one and number `without_click`, counted from 0, add no click.
// `on_round` gets each round's losses, whose graph reaches back to that round's prompts only.
// `maps`: MapsOf the image's features; `masks` as TuningImage::masks, at least one.
void PlayRounds(PromptedDecoder& decoder, const std::vector<at::Tensor>& maps,
                const segmenter::InputGeometry& geometry, const std::vector<cv::Mat>& masks,
                bool boxes, int rounds, int without_click, Random& random,
                const std::function<void(const SamLosses&)>& on_round);

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_PROMPT_ROUNDS_H_
