#include "trainer/demo_detector.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <c10/util/Exception.h>

#include <algorithm>
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

// [3, side, side], for an image whose longer side is the input's: boxes stay where they are.
at::Tensor InputOf(const cv::Mat& image, const detector::DetectorSettings& settings) {
  const auto [width, height] = settings.input_size;
  TORCH_CHECK(std::max(image.cols, image.rows) == width, "the longer side is not ", width);
  detector::Placement placement;
  const absl::StatusOr<cv::Mat> fitted = detector::FitImage(image, settings, &placement);
  TORCH_CHECK(fitted.ok(), fitted.status().ToString());
  at::Tensor input = at::empty({3, height, width});
  detector::Normalize(*fitted, settings, input.data_ptr<float>());
  return input;
}

}  // namespace

std::size_t ImagesOf(const DetectorTraining& training) {
  return static_cast<std::size_t>(training.schedule.steps) * training.replicas *
         training.images_per_replica;
}

void TrainDetector(const DetectorTraining& training, const ImageSource& images,
                   detector::Rtmdet& detector) {
  torch::optim::AdamW optimizer = MakeAdamW(*detector, training.weight_decay);
  WeightAverage average(
      *detector,
      {.momentum = training.average_momentum, .gamma = training.average_gamma, .by_name = false});
  Replicas<detector::Rtmdet> replicas(detector, training.replicas);
  Progress progress("detector", training.schedule.steps);
  std::vector<double> class_loss(training.replicas);
  std::vector<double> box_loss(training.replicas);
  for (int step = 0; step < training.schedule.steps; ++step) {
    replicas.Backward([&](detector::Rtmdet& replica, int r) {
      std::vector<at::Tensor> inputs;
      std::vector<std::vector<TrainingObject>> objects;
      const std::size_t first =
          (static_cast<std::size_t>(step) * training.replicas + r) * training.images_per_replica;
      for (int i = 0; i < training.images_per_replica; ++i) {
        absl::StatusOr<TrainingImage> image = images.Load(first + i);
        TORCH_CHECK(image.ok(), image.status().ToString());
        inputs.push_back(InputOf(image->image, SettingsOf(training)));
        objects.push_back(std::move(image->objects));
      }
      const DetectorLosses loss = ComputeLosses(replica->forward(at::stack(inputs)), objects);
      (loss.classes + loss.boxes).backward();
      class_loss[r] = loss.classes.item<double>();
      box_loss[r] = loss.boxes.item<double>();
    });
    const double norm = ClipGradients(*detector, training.max_gradient_norm);
    const double rate = training.schedule.LearningRate(step);
    SetLearningRate(optimizer, rate);
    optimizer.step();
    average.Update(*detector);
    progress.Step(step, rate, {{"classes", class_loss[0]}, {"boxes", box_loss[0]}, {"norm", norm}});
  }
  average.CopyTo(*detector);
  detector->eval();
}

std::string DetectorConfigText(const DetectorTraining& training, double widen, double deepen,
                               int num_classes) {
  // Written as mmengine dumps a config. One size and one normalization: those of SettingsOf.
  constexpr char kTemplate[] = R"(model = dict(
    type='RTMDet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[$mean],
        std=[$std],
        bgr_to_rgb=False,
        batch_augments=None),
    backbone=dict(
        type='CSPNeXt',
        arch='P5',
        expand_ratio=0.5,
        deepen_factor=$deepen,
        widen_factor=$widen,
        channel_attention=True,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True)),
    neck=dict(
        type='CSPNeXtPAFPN',
        in_channels=[$c3, $c4, $c5],
        out_channels=$c3,
        num_csp_blocks=1,
        expand_ratio=0.5,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True)),
    bbox_head=dict(
        type='RTMDetSepBNHead',
        num_classes=$classes,
        in_channels=$c3,
        stacked_convs=2,
        feat_channels=$c3,
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        with_objectness=False,
        exp_on_reg=True,
        share_conv=True,
        pred_kernel_size=1,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True)),
    train_cfg=dict(
        assigner=dict(type='DynamicSoftLabelAssigner', topk=13),
        allowed_border=-1,
        pos_weight=-1,
        debug=False),
    test_cfg=dict(
        nms_pre=30000,
        min_bbox_size=0,
        score_thr=0.001,
        nms=dict(type='nms', iou_threshold=0.65),
        max_per_img=300))
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='Resize', scale=($side, $side), keep_ratio=True),
    dict(type='Pad', size=($side, $side), pad_val=dict(img=($pad, $pad, $pad))),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
)";
  const detector::DetectorSettings settings = SettingsOf(training);
  const auto width = [&](int full) { return absl::StrCat(static_cast<int>(full * widen)); };
  return absl::StrReplaceAll(kTemplate, {{"$deepen", absl::StrCat(deepen)},
                                         {"$widen", absl::StrCat(widen)},
                                         {"$c3", width(256)},
                                         {"$c4", width(512)},
                                         {"$c5", width(1024)},
                                         {"$classes", absl::StrCat(num_classes)},
                                         {"$mean", absl::StrJoin(settings.mean, ", ")},
                                         {"$std", absl::StrJoin(settings.std, ", ")},
                                         {"$pad", absl::StrCat(settings.pad_value[0])},
                                         {"$side", absl::StrCat(training.input_size)}});
}

}  // namespace trainer
