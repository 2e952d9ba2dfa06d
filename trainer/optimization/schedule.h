// How the learning rate goes over a training.
#ifndef DUET_TRAINER_OPTIMIZATION_SCHEDULE_H_
#define DUET_TRAINER_OPTIMIZATION_SCHEDULE_H_

#include <cstdint>
#include <vector>

namespace trainer {

// RTMDet's schedule as mmengine runs it: LinearLR over the first iterations, and from half of the
// epochs on CosineAnnealingLR with convert_to_iter_based
// (configs/rtmdet/rtmdet_l_8xb32-300e_coco.py). A training that has no epochs has one a step.
struct FlatCosineSchedule {
  double base = 0.004;
  int epochs = 40;
  int iterations_per_epoch = 1;
  // Iterations of the warm-up, from base · warmup_start. Fewer than 2: none.
  int warmup_iterations = 1000;
  double warmup_start = 1e-5;
  double final_share = 0.05;

  std::int64_t iterations() const { return std::int64_t{epochs} * iterations_per_epoch; }

  // Of every iteration. Each follows from the one before, as in mmengine: its schedulers multiply
  // what they find, so where warm-up and cosine overlap the product counts, and with an odd number
  // of epochs, whose second half is longer than the cosine, the rate rises again at the end.
  std::vector<double> LearningRates() const;
};

}  // namespace trainer

#endif  // DUET_TRAINER_OPTIMIZATION_SCHEDULE_H_
