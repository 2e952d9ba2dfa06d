// Tunes a segmenter's decoder, step by step, by prompting it as Segment Anything's training does
// (simulated_prompts.h): an object gets a box or a click first, as likely the one as the other,
// then a click after each answer where that was wrong, together with the answer's logits; one of
// these rounds, drawn anew for each step, and one more at the end bring the logits alone. A first
// click is ambiguous: it is answered with three masks, of which the best learns and the one that
// the model itself prefers is corrected. All other prompts are answered with one.
//
// AdamW; linear warm-up, then a cosine to zero; the moving average of the weights is the result.
#ifndef DUET_TRAINER_SEGMENTER_SEGMENTER_TUNER_H_
#define DUET_TRAINER_SEGMENTER_SEGMENTER_TUNER_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <torch/optim/adamw.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "segmenter_service/inference/embedding.h"
#include "trainer/optimization/module_state.h"
#include "trainer/optimization/weight_average.h"
#include "trainer/scenes/random.h"
#include "trainer/segmenter/prompted_decoder.h"
#include "trainer/segmenter/sam_losses.h"
#include "vision/mask.h"

namespace trainer {

struct TuningOptions {
  double learning_rate = 1e-4;
  std::int64_t steps = 1000;
  std::int64_t warmup_steps = 30;
  int corrections = 4;         // clicks after the first answer; Segment Anything's training has 8
  int objects_per_image = 8;   // at most so many a step, drawn from the image's
  double weight_decay = 0.01;  // not of biases, norms and one-dimensional parameters
  AverageOptions average{.momentum = 0.01, .gamma = 100, .by_name = false};
  std::uint64_t seed = 1;  // of prompts
};

// An image with objects whose masks are known.
struct TuningImage {
  segmenter::ImageEmbedding embedding;
  std::vector<vision::Mask> masks;  // of the image's size; none is empty; at least one
};

// Of one step; means over its objects and rounds.
struct TuningReport {
  double learning_rate = 0;
  double focal = 0;  // times 20
  double dice = 0;
  double iou = 0;
  double gradient_norm = 0;

  double total() const { return focal + dice + iou; }
};

// Not thread-safe. Computes on the calling thread and LibTorch's. With the same state, images and
// number of threads it gives the same bits.
class SegmenterTuner {
 public:
  // REQUIRES: steps, corrections and objects_per_image are positive.
  SegmenterTuner(std::shared_ptr<PromptedDecoder> decoder, const TuningOptions& options);

  // Learns from a batch. OutOfRange, with the weights as they were and the step counted as done, if
  // a loss or a gradient isn't finite. REQUIRES: step() < options.steps; `batch` is not empty.
  absl::StatusOr<TuningReport> Step(std::span<const TuningImage> batch);

  // How many steps are done.
  std::int64_t step() const { return step_; }

  // Calls `use` while the decoder has the averaged weights; before the first step its own.
  absl::Status WithAverage(const std::function<absl::Status()>& use);

  // Everything that another tuner of the same options and decoder needs to go on with the same
  // bits. Copies.
  checkpoint::StateDict ToStateDict() const;
  // FailedPrecondition, naming the first tensor that is missing or has another shape, with the
  // tuner unchanged.
  absl::Status LoadStateDict(const checkpoint::StateDict& state);

 private:
  double LearningRate() const;
  // Leaves the gradients of an image's objects in the decoder, `share` times.
  void Backward(const TuningImage& image, Random& random, double share, TuningReport* report);

  const std::shared_ptr<PromptedDecoder> decoder_;
  const TuningOptions options_;
  std::vector<StateTensor> trained_;
  torch::optim::AdamW optimizer_;
  WeightAverage average_;
  std::int64_t step_ = 0;
};

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_SEGMENTER_TUNER_H_
