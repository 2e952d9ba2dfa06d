// Trains Segment Anything on images with known masks, by prompting it as a user would.
//
// Each image is encoded once and then prompted several times: for a random object either its box
// (a little off, as a hand draws it) or a click inside it. A second round adds a click where the
// first answer was wrong, positive or negative, and hands the first answer back as the mask prompt.
// Every answer is judged twice: its single mask, and the best of its three multimask masks, so that
// both kinds of output work. Loss: losses/mask_losses.h.
#ifndef DUET_TRAINER_SEGMENTER_TRAINER_H_
#define DUET_TRAINER_SEGMENTER_TRAINER_H_

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>

#include "segmenter_service/modeling/sam.h"
#include "trainer/optimization/schedule.h"
#include "trainer/samples/image_source.h"

namespace trainer {

enum class MaskLoss {
  kBalanced,  // PixelWeights' cross entropy + dice: for a network that starts from nothing
  kSam,       // 20 · focal + dice: for one that answers already, to make its outlines better
};

struct SegmenterTraining {
  FlatCosineSchedule schedule;  // in steps
  MaskLoss loss = MaskLoss::kBalanced;
  int images_per_replica = 1;
  int replicas = 4;
  int boxes_per_image = 4;
  int clicks_per_image = 4;
  // The first step that has a second round.
  int first_correction = 0;
  // kBalanced: PixelWeights' `balance`, moved in a line over the steps: first the place, then the
  // outline.
  double first_balance = 1;
  double last_balance = 0.02;
  double weight_decay = 0.05;
  double max_gradient_norm = 1;
  double average_momentum = 0.005;
  double average_gamma = 200;
  // Of prompts and their order; weights are initialised by the caller.
  std::uint64_t seed = 1;
};

// How many images a training takes.
std::size_t ImagesOf(const SegmenterTraining& training);

// Learns from each of the first ImagesOf(training) images once, in their order. Leaves the averaged
// weights in `sam`, in eval mode. REQUIRES: there are as many, and every object of them has a mask.
// Throws c10::Error.
void TrainSegmenter(const SegmenterTraining& training, const ImageSource& images,
                    segmenter::Sam& sam);

// Starts pos_embed as sines and cosines of rows and columns, from a quarter to eight periods across
// the image, instead of zeros: the embedding then says from the first step on where its cells
// are, which is what a prompt refers to.
void InitializePositions(segmenter::Sam& sam);

// Lowers the prompt encoder's frequencies, a buffer of the checkpoint, from SAM's N(0, 1) to N(0,
// s) with s from 0.05 to 1, evenly in the logarithm. Two positions then look alike as far apart as
// the middle of an object and the corners of its box are; with SAM's, a box says next to nothing
// about its inside, and a network takes ages to learn what a prompt means.
void InitializePromptFrequencies(segmenter::Sam& sam);

// Starts the decoder's cross attentions with equal query and key projections, and embeddings that
// don't drown positions: a prompt then attends to its own place from the first step on. From
// PyTorch's initialisation that takes thousands of steps to learn.
void TieCrossAttention(segmenter::Sam& sam);

// The same network for a larger input: tables of positions are stretched, everything else is
// copied. A network that learned on small images, at a quarter of the cost, needs little more to
// work on large ones.
segmenter::Sam Enlarge(const segmenter::Sam& sam, std::int64_t image_size);

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_TRAINER_H_
