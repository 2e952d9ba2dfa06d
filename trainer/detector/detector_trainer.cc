#include "trainer/detector/detector_trainer.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <tuple>
#include <utility>

#include "nn/layers.h"
#include "nn/state_dict.h"
#include "nn/torch_status.h"
#include "trainer/detector/detector_losses.h"
#include "trainer/detector/trainable_detector.h"
#include "trainer/optimization/adamw.h"
#include "trainer/optimization/saved_state.h"

namespace trainer {
namespace {

constexpr std::size_t kStages = 4;
constexpr std::int64_t kLargestStride = 32;

absl::Status CheckOptions(const detector::RtmdetConfig& config,
                          const DetectorTrainingOptions& options) {
  const auto refuse = [](const auto&... parts) {
    return absl::InvalidArgumentError(absl::StrCat(parts...));
  };
  if (config.head == detector::HeadKind::kRotated) {
    return refuse("RTMDet-R can't be trained, only RTMDet and RTMDet-Ins");
  }
  const FlatCosineSchedule& schedule = options.schedule;
  if (schedule.epochs < 1 || schedule.iterations_per_epoch < 1) {
    return refuse("a training needs at least one epoch of one iteration; there are ",
                  schedule.epochs, " of ", schedule.iterations_per_epoch);
  }
  if (!(schedule.base > 0)) {
    return refuse("the learning rate must be above 0; it is ", schedule.base);
  }
  if (options.accumulation < 1) {
    return refuse("accumulation must be at least 1; it is ", options.accumulation);
  }
  if (options.frozen_stages < -1 || options.frozen_stages > static_cast<int>(kStages)) {
    return refuse("frozen_stages must be between -1 and ", kStages, "; it is ",
                  options.frozen_stages);
  }
  for (const int row : options.new_classes) {
    if (row < 0 || row >= config.num_classes)
      return refuse("there is no class ", row, "; there are ", config.num_classes);
  }
  if (!(options.new_class_rate_ratio > 0)) {
    return refuse("new_class_rate_ratio must be above 0; it is ", options.new_class_rate_ratio);
  }
  return absl::OkStatus();
}

absl::Status CheckObject(const TrainingObject& object, const at::Tensor& images,
                         const detector::RtmdetConfig& config) {
  if (object.class_index < 0 || object.class_index >= config.num_classes) {
    return absl::InvalidArgumentError(
        absl::StrCat("class ", object.class_index, "; the network has ", config.num_classes));
  }
  const vision::Box& box = object.box;
  for (const float edge : {box.x_min, box.y_min, box.x_max, box.y_max}) {
    if (!std::isfinite(edge)) return absl::InvalidArgumentError("its box is not finite");
  }
  if (config.head != detector::HeadKind::kInstances) return absl::OkStatus();
  if (object.mask == nullptr) {
    return absl::InvalidArgumentError("it has no mask, which RTMDet-Ins learns from");
  }
  const vision::Size is = object.mask->size;
  if (is.width != images.size(3) || is.height != images.size(2)) {
    return absl::InvalidArgumentError(absl::StrCat("its mask must be ", images.size(3), "x",
                                                   images.size(2), "; it is ", is.width, "x",
                                                   is.height));
  }
  return absl::OkStatus();
}

bool AllFinite(const detector::Features& maps) {
  return std::all_of(maps.begin(), maps.end(), [](const at::Tensor& map) {
    return !map.defined() || map.isfinite().all().item<bool>();
  });
}

// CSPNeXt's _freeze_stages and norm_eval.
void Freeze(const DetectorTrainingOptions& options, detector::CSPNeXtImpl& backbone) {
  for (int part = 0; part <= options.frozen_stages; ++part) {
    torch::nn::Sequential& frozen = part == 0 ? backbone.stem : backbone.stages[part - 1];
    frozen->eval();
    for (at::Tensor& parameter : frozen->parameters()) parameter.set_requires_grad(false);
  }
  if (!options.learning.norm_eval) return;
  for (const auto& module : backbone.modules()) {
    if (auto* norm = module->as<nn::BatchNorm2dImpl>()) norm->eval();
  }
}

// Makes the network ready for training.
void Arrange(const DetectorTrainingOptions& options, detector::RtmdetImpl& network) {
  // Channels innermost is what oneDNN's convolutions and LibTorch's batch norms are fastest with;
  // the maps follow the weights' and the images' order.
  for (StateTensor& entry : StateOf(network)) {
    if (entry.tensor.dim() == 4)
      entry.tensor.set_data(entry.tensor.contiguous(at::MemoryFormat::ChannelsLast));
  }
  network.train();
  Freeze(options, *network.backbone);
}

}  // namespace

class DetectorTrainer::Rollback {
 public:
  explicit Rollback(DetectorTrainer& trainer) : trainer_(trainer) {
    for (const at::Tensor& buffer : trainer_.network_->buffers())
      buffers_.push_back(buffer.clone());
    for (StateTensor& parameter : trainer_.trained_)
      gradients_.push_back(std::exchange(parameter.tensor.mutable_grad(), at::Tensor()));
  }
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;

  ~Rollback() {
    if (kept_) return;
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> buffers = trainer_.network_->buffers();
    for (std::size_t i = 0; i < buffers.size(); ++i) buffers[i].copy_(buffers_[i]);
    for (std::size_t i = 0; i < gradients_.size(); ++i)
      trainer_.trained_[i].tensor.mutable_grad() = gradients_[i];
  }

  // The step is good: its gradients join those that were there.
  void Keep() {
    kept_ = true;
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < gradients_.size(); ++i) {
      if (!gradients_[i].defined()) continue;
      at::Tensor& gradient = trainer_.trained_[i].tensor.mutable_grad();
      gradient = gradient.defined() ? gradients_[i].add_(gradient) : gradients_[i];
    }
  }

 private:
  DetectorTrainer& trainer_;
  std::vector<at::Tensor> buffers_;
  std::vector<at::Tensor> gradients_;
  bool kept_ = false;
};

absl::StatusOr<std::unique_ptr<DetectorTrainer>> DetectorTrainer::Make(
    detector::Rtmdet network, const DetectorTrainingOptions& options) {
  if (absl::Status status = CheckOptions(network->config, options); !status.ok()) return status;
  return nn::CatchTorch("begin the training", [&] {
    Arrange(options, *network);
    return std::unique_ptr<DetectorTrainer>(new DetectorTrainer(std::move(network), options));
  });
}

DetectorTrainer::DetectorTrainer(detector::Rtmdet network, const DetectorTrainingOptions& options)
    : options_(options),
      learning_rates_(options.schedule.LearningRates()),
      network_(std::move(network)),
      trained_(TrainedOf(*network_)),
      optimizer_(MakeAdamW(*network_, options.weight_decay)),
      average_(*network_, options.average) {}

absl::Status DetectorTrainer::Check(const Batch& batch) const {
  const auto refuse = [](const auto&... parts) {
    return absl::InvalidArgumentError(absl::StrCat(parts...));
  };
  const at::Tensor& images = batch.images;
  if (!images.defined() || images.dim() != 4 || images.size(0) == 0 || images.size(1) != 3 ||
      images.scalar_type() != at::kFloat) {
    return refuse("a batch needs float images [B, 3, H, W]; it has ",
                  images.defined() ? nn::ShapeString(images.sizes().vec()) : "none");
  }
  if (images.size(2) == 0 || images.size(3) == 0 || images.size(2) % kLargestStride != 0 ||
      images.size(3) % kLargestStride != 0) {
    return refuse("height and width of a batch must be multiples of ", kLargestStride, "; it has ",
                  nn::ShapeString(images.sizes().vec()));
  }
  if (static_cast<std::int64_t>(batch.objects.size()) != images.size(0)) {
    return refuse("a batch of ", images.size(0), " images has the objects of ",
                  batch.objects.size());
  }
  for (std::size_t i = 0; i < batch.objects.size(); ++i) {
    for (std::size_t o = 0; o < batch.objects[i].size(); ++o) {
      const TrainingObject& object = batch.objects[i][o];
      if (object.ignored) continue;
      if (absl::Status status = CheckObject(object, images, network_->config); !status.ok()) {
        return refuse("image ", i, " of the batch, object ", o, ": ", status.message());
      }
    }
  }
  return absl::OkStatus();
}

int DetectorTrainer::AccumulationNow() const {
  const auto total = static_cast<std::int64_t>(learning_rates_.size());
  const std::int64_t rest = total % options_.accumulation;
  return iteration_ < total - rest ? options_.accumulation : static_cast<int>(rest);
}

bool DetectorTrainer::EndsAccumulation() const {
  const std::int64_t done = iteration_ + 1;
  return done % options_.accumulation == 0 ||
         done == static_cast<std::int64_t>(learning_rates_.size());
}

absl::StatusOr<StepReport> DetectorTrainer::Step(const Batch& batch) {
  if (iteration_ >= static_cast<std::int64_t>(learning_rates_.size())) {
    return absl::FailedPreconditionError(
        absl::StrCat("all ", learning_rates_.size(), " iterations of the training are done"));
  }
  if (absl::Status status = Check(batch); !status.ok()) return status;
  return nn::CatchTorch("train on a batch", [&]() -> absl::StatusOr<StepReport> {
    absl::StatusOr<StepReport> report = Learn(batch);
    if (!report.ok()) return report;
    if (EndsAccumulation()) UpdateWeights();
    average_.Update(*network_);
    ++iteration_;
    return report;
  });
}

absl::StatusOr<StepReport> DetectorTrainer::Learn(const Batch& batch) {
  Rollback rollback(*this);
  StepReport report{.iteration = iteration_,
                    .learning_rate = learning_rates_[static_cast<std::size_t>(iteration_)]};
  const auto diverged = [&](const auto&... parts) {
    return absl::OutOfRangeError(absl::StrCat("iteration ", iteration_, ": ", parts...,
                                              " (the learning rate is ", report.learning_rate,
                                              ")"));
  };
  const detector::HeadOutput output = Forward(batch.images);
  // The assigner sorts by these.
  if (!AllFinite(output.cls_logits)) {
    return diverged("the loss of classes is not finite: the network's scores are not");
  }
  if (!AllFinite(output.distances)) {
    return diverged("the loss of boxes is not finite: the network's distances are not");
  }
  const DetectorLosses losses = ComputeLosses(output, batch.objects, options_.learning.loss_weights,
                                              options_.learning.assigner);
  at::Tensor total;
  for (const auto& [name, loss, value] : {std::tuple("classes", losses.classes, &report.classes),
                                          std::tuple("boxes", losses.boxes, &report.boxes),
                                          std::tuple("masks", losses.masks, &report.masks)}) {
    if (!loss.defined()) continue;
    *value = loss.item<double>();
    if (!std::isfinite(*value)) return diverged("the loss of ", name, " is ", *value);
    total = total.defined() ? total + loss : loss;
  }
  if (const int parts = AccumulationNow(); parts > 1) total = total / parts;
  total.backward();
  report.gradient_norm = GradientNorm(trained_);
  if (!std::isfinite(report.gradient_norm)) {
    return diverged("the norm of the gradients is ", report.gradient_norm);
  }
  rollback.Keep();
  return report;
}

detector::HeadOutput DetectorTrainer::Forward(const at::Tensor& images) {
  std::vector<at::Tensor> maps;  // of stem and stages
  if (options_.frozen_stages >= 0) {
    if (frozen_ == nullptr) {
      frozen_ = std::make_unique<FrozenStages>(network_->backbone, options_.frozen_stages);
    }
    maps = frozen_->Run(images);
  } else {
    maps.push_back(
        network_->backbone->stem->forward(images.contiguous(at::MemoryFormat::ChannelsLast)));
  }
  while (maps.size() <= kStages)
    maps.push_back(network_->backbone->stages[maps.size() - 1]->forward(maps.back()));
  return network_->bbox_head(network_->neck(detector::Features{maps[2], maps[3], maps[4]}));
}

std::vector<at::Tensor> DetectorTrainer::ClassifierWithOwnRates() const {
  if (options_.new_classes.empty() || options_.new_class_rate_ratio == 1) return {};
  return network_->bbox_head->rtm_cls->parameters();
}

void DetectorTrainer::UpdateWeights() {
  const at::NoGradGuard no_grad;
  SetLearningRate(optimizer_, learning_rates_[static_cast<std::size_t>(iteration_)]);
  std::vector<at::Tensor> classifier = ClassifierWithOwnRates();
  std::vector<at::Tensor> before;
  before.reserve(classifier.size());
  for (const at::Tensor& parameter : classifier) before.push_back(parameter.clone());
  optimizer_.step();
  // A step of AdamW, decay included, is proportional to the learning rate.
  for (std::size_t i = 0; i < classifier.size(); ++i) {
    for (const int row : options_.new_classes)
      classifier[i][row].copy_(
          before[i][row].lerp(classifier[i][row], options_.new_class_rate_ratio));
  }
  for (StateTensor& parameter : trained_) parameter.tensor.mutable_grad() = at::Tensor();
}

detector::Rtmdet DetectorTrainer::AveragedNetwork() const {
  const nn::SkipInitialization skip;
  detector::Rtmdet network = MakeNetwork(network_->config);
  average_.CopyTo(*network);
  network->eval();
  return network;
}

checkpoint::StateDict DetectorTrainer::ToStateDict() const {
  StateWriter taken;
  for (const StateTensor& entry : StateOf(*network_))
    taken.Add("weights." + entry.name, entry.tensor);
  taken.Add(average_);
  taken.Add(optimizer_, trained_);
  for (const StateTensor& entry : trained_) {
    if (entry.tensor.grad().defined()) taken.Add("gradient." + entry.name, entry.tensor.grad());
  }
  taken.Add("iteration", iteration_);
  return taken.Take();
}

absl::Status DetectorTrainer::LoadStateDict(const checkpoint::StateDict& state) {
  return nn::CatchTorch("go on with a training", [&]() -> absl::Status {
    StateReader reader(state);
    for (const StateTensor& entry : StateOf(*network_))
      reader.Read("weights." + entry.name, entry.tensor);
    reader.Read(average_);
    reader.Read(optimizer_, trained_);
    std::vector<at::Tensor> gradients(trained_.size());
    for (std::size_t i = 0; i < trained_.size(); ++i) {
      const std::string name = "gradient." + trained_[i].name;
      if (reader.Has(name)) reader.Read(name, gradients[i] = at::empty_like(trained_[i].tensor));
    }
    reader.Read("iteration", &iteration_);
    if (absl::Status applied = reader.Apply(); !applied.ok()) return applied;

    frozen_.reset();
    for (std::size_t i = 0; i < trained_.size(); ++i)
      trained_[i].tensor.mutable_grad() = gradients[i];
    return absl::OkStatus();
  });
}

}  // namespace trainer
