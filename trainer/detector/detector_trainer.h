// Fine-tunes RTMDet and RTMDet-Ins as MMDetection does: the arithmetic of a training, batch by
// batch. It reads no data, writes no files and knows no epochs but those of the learning rate.
//
//   auto loaded = LoadForTraining(checkpoint, classes, seed);
//   auto trainer = DetectorTrainer::Make(loaded->network, options);
//   while ((*trainer)->iteration() < options.schedule.iterations()) {
//     auto report = (*trainer)->Step(batch);
//   }
//   detector::Rtmdet result = (*trainer)->AveragedNetwork();
//
// What is followed is what mmengine's runner does with mmdet's config: losses and targets
// (detector_losses.h), AdamW whose decay leaves out norms and biases, no clipping of gradients, the
// schedule of mmengine (optimization/schedule.h), an average of all weights and running statistics
// after every batch (EMAHook), accumulation as OptimWrapper's accumulative_counts, frozen_stages
// and norm_eval as CSPNeXt's.
#ifndef DUET_TRAINER_DETECTOR_DETECTOR_TRAINER_H_
#define DUET_TRAINER_DETECTOR_DETECTOR_TRAINER_H_

#include <ATen/core/Tensor.h>
#include <absl/status/statusor.h>
#include <torch/optim/adamw.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "detector_service/rtmdet/rtmdet.h"
#include "trainer/detector/frozen_stages.h"
#include "trainer/detector/learning_settings.h"
#include "trainer/optimization/module_state.h"
#include "trainer/optimization/schedule.h"
#include "trainer/optimization/weight_average.h"
#include "trainer/samples/image_source.h"

namespace trainer {

struct Batch {
  // [B, 3, H, W] float, normalised as the model's data_preprocessor says; H and W are multiples of
  // 32.
  at::Tensor images;
  // Of each image, in input pixels. For RTMDet-Ins every object that isn't ignored has a mask of
  // the input's size.
  std::vector<std::vector<TrainingObject>> objects;
};

struct DetectorTrainingOptions {
  FlatCosineSchedule schedule;  // an iteration is a batch
  // Batches whose gradients are averaged for one step of the optimizer; the last few of a training,
  // if it doesn't come out even, are a step of their own. Learning rate, average and running
  // statistics move with every batch all the same.
  int accumulation = 1;
  // The backbone's stem and so many of its four stages keep their weights and running statistics.
  // -1: none, not even the stem.
  int frozen_stages = -1;
  // Rows of the classifier (rtm_cls) that learn at so many times the schedule's rate: those of
  // classes that begin from nothing. With all rows listed it is mmengine's lr_mult of rtm_cls.
  std::vector<int> new_classes;
  double new_class_rate_ratio = 1;
  double weight_decay = 0.05;
  AverageOptions average;
  // As the checkpoint's config has it.
  LearningSettings learning;
};

// Of one batch. The losses are weighted; `masks` is 0 without masks.
struct StepReport {
  std::int64_t iteration = 0;  // the batch's number, from 0
  double learning_rate = 0;
  double classes = 0;
  double boxes = 0;
  double masks = 0;
  double gradient_norm = 0;  // of this batch alone, divided by the accumulation

  double total() const { return classes + boxes + masks; }
};

// Not thread-safe. Computes on the calling thread and LibTorch's. With the same state, batches and
// number of threads it gives the same bits.
class DetectorTrainer {
 public:
  // Takes over `network`, as LoadForTraining makes it. InvalidArgument for options that make no
  // sense.
  static absl::StatusOr<std::unique_ptr<DetectorTrainer>> Make(
      detector::Rtmdet network, const DetectorTrainingOptions& options);

  // Learns from one batch. These errors leave the trainer as it was, so that the caller may go on
  // with another batch: InvalidArgument, naming the image and the object, for a batch that doesn't
  // fit; OutOfRange, naming the iteration and which loss or what gradients, where the arithmetic
  // gave infinity or NaN; FailedPrecondition when the schedule's iterations are done. After any
  // other, as LibTorch's own when memory ran out, the way on is a state that was taken before.
  absl::StatusOr<StepReport> Step(const Batch& batch);

  // How many batches were learnt from.
  std::int64_t iteration() const { return iteration_; }

  // The network in training, as it is now.
  const detector::Rtmdet& network() const { return network_; }
  // A new network in eval mode with the averaged weights: what is measured and saved.
  detector::Rtmdet AveragedNetwork() const;

  // Everything that another trainer, of the same options and class list, needs to go on with the
  // same bits: weights, average, AdamW's moments, gradients of an unfinished accumulation, counts.
  // Copies. Names: weights.*, average.*, iteration, average_updates; of each parameter that is
  // trained optimizer_steps.*, with first_moment.* and second_moment.* unless that is 0, as it is
  // until a batch touches the parameter (RTMDet-Ins' kernels need one with an object); gradient.*
  // where there is one.
  checkpoint::StateDict ToStateDict() const;
  // FailedPrecondition, naming the first tensor that is missing or has another shape, with the
  // trainer unchanged.
  absl::Status LoadStateDict(const checkpoint::StateDict& state);

 private:
  // Buffers and gradients as they were before a step that may fail.
  class Rollback;

  // `network` is arranged.
  DetectorTrainer(detector::Rtmdet network, const DetectorTrainingOptions& options);

  absl::Status Check(const Batch& batch) const;
  // How many batches this iteration's step of the optimizer is made of, and whether it is the last
  // of them.
  int AccumulationNow() const;
  bool EndsAccumulation() const;
  absl::StatusOr<StepReport> Learn(const Batch& batch);
  detector::HeadOutput Forward(const at::Tensor& images);
  void UpdateWeights();
  // The classifier's parameters, if any rows have a rate of their own; otherwise none.
  std::vector<at::Tensor> ClassifierWithOwnRates() const;

  const DetectorTrainingOptions options_;
  const std::vector<double> learning_rates_;
  detector::Rtmdet network_;
  std::vector<StateTensor> trained_;      // the parameters that are not frozen
  std::unique_ptr<FrozenStages> frozen_;  // null if there are none, or until they are needed
  torch::optim::AdamW optimizer_;
  WeightAverage average_;
  std::int64_t iteration_ = 0;
};

}  // namespace trainer

#endif  // DUET_TRAINER_DETECTOR_DETECTOR_TRAINER_H_
