#include "trainer/demo_detector.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/util/Exception.h>

#include <utility>
#include <vector>

#include "detector_service/inference/preprocess.h"
#include "trainer/detector/detector_losses.h"
#include "trainer/optimization/adamw.h"
#include "trainer/optimization/weight_average.h"
#include "trainer/progress.h"
#include "trainer/replicas.h"

namespace trainer {
namespace {

// What the service does with an image: RTMDet's own settings, but for the size.
detector::DetectorSettings SettingsOf(const DetectorTraining& training) {
  return {.input_size = {training.input_size, training.input_size}};
}

// [3, side, side]: the image as the service fits it into the input. Moves the objects' boxes along.
at::Tensor InputOf(TrainingImage& image, const detector::DetectorSettings& settings) {
  detector::Placement placement;
  const absl::StatusOr<cv::Mat> fitted = detector::FitImage(image.image, settings, &placement);
  TORCH_CHECK(fitted.ok(), fitted.status().ToString());
  const auto moved = [&placement](const vision::Box& box) {
    return vision::Box{static_cast<float>(box.x_min * placement.scale_x + placement.left),
                       static_cast<float>(box.y_min * placement.scale_y + placement.top),
                       static_cast<float>(box.x_max * placement.scale_x + placement.left),
                       static_cast<float>(box.y_max * placement.scale_y + placement.top)};
  };
  for (TrainingObject& object : image.objects) object.box = moved(object.box);
  const auto [width, height] = settings.input_size;
  at::Tensor input = at::empty({3, height, width});
  detector::Normalize(*fitted, settings, settings.input_size, input.data_ptr<float>());
  return input;
}

}  // namespace

std::size_t ImagesOf(const DetectorTraining& training) {
  return static_cast<std::size_t>(training.schedule.iterations()) * training.replicas *
         training.images_per_replica;
}

void TrainDetector(const DetectorTraining& training, const ImageSource& images,
                   detector::Rtmdet& detector) {
  torch::optim::AdamW optimizer = MakeAdamW(*detector, training.weight_decay);
  WeightAverage average(
      *detector,
      {.momentum = training.average_momentum, .gamma = training.average_gamma, .by_name = false});
  Replicas<detector::Rtmdet> replicas(detector, training.replicas);
  const std::vector<double> rates = training.schedule.LearningRates();
  ProgressPrinter progress("detector", static_cast<int>(rates.size()));
  std::vector<double> class_loss(training.replicas);
  std::vector<double> box_loss(training.replicas);
  for (std::size_t step = 0; step < rates.size(); ++step) {
    replicas.Backward([&](detector::Rtmdet& replica, int r) {
      std::vector<at::Tensor> inputs;
      std::vector<std::vector<TrainingObject>> objects;
      const std::size_t first = (step * training.replicas + r) * training.images_per_replica;
      for (int i = 0; i < training.images_per_replica; ++i) {
        absl::StatusOr<TrainingImage> image = images.Load(first + i);
        TORCH_CHECK(image.ok(), image.status().ToString());
        inputs.push_back(InputOf(*image, SettingsOf(training)));
        objects.push_back(std::move(image->objects));
      }
      const DetectorLosses loss = ComputeLosses(replica->forward(at::stack(inputs)), objects);
      (loss.classes + loss.boxes).backward();
      class_loss[r] = loss.classes.item<double>();
      box_loss[r] = loss.boxes.item<double>();
    });
    const double norm = ClipGradients(*detector, training.max_gradient_norm);
    SetLearningRate(optimizer, rates[step]);
    optimizer.step();
    average.Update(*detector);
    progress.Step(static_cast<int>(step), rates[step],
                  {{"classes", class_loss[0]}, {"boxes", box_loss[0]}, {"norm", norm}});
  }
  average.CopyTo(*detector);
  detector->eval();
}

}  // namespace trainer
