#include "trainer/run/training_config.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace trainer {
namespace {

// The shortest text that Python reads as the very number.
std::string Number(double value) {
  std::array<char, 32> text{};
  const std::to_chars_result end = std::to_chars(text.begin(), text.end(), value);
  std::string number(text.data(), end.ptr);
  if (number.find_first_of(".e") == std::string::npos) number += ".0";
  return number;
}

const char* Bool(bool value) { return value ? "True" : "False"; }

std::string Square(int side) { return absl::StrCat("(", side, ", ", side, ")"); }

// A grey of three channels.
std::string Grey(int value) { return absl::StrCat("(", value, ", ", value, ", ", value, ")"); }

std::string Range(double min, double max) {
  return absl::StrCat("(", Number(min), ", ", Number(max), ")");
}

// As mmdet writes it, but for random_pop: what is mixed with is the last images (recipe.h).
std::string PipelineText(const Pipeline& pipeline) {
  std::string text = absl::StrCat(
      "[\n    dict(type='LoadImageFromFile', backend_args=None),\n"
      "    dict(type='LoadAnnotations', with_bbox=True",
      pipeline.masks ? ", with_mask=True, poly2mask=True" : "", "),\n");
  const std::string square = Square(pipeline.side);
  if (pipeline.mosaic) {
    absl::StrAppend(&text, "    dict(type='CachedMosaic', img_scale=", square,
                    ", pad_val=", Number(pipeline.pad_value),
                    ", max_cached_images=", pipeline.mosaic_cache, ", random_pop=False),\n");
  }
  absl::StrAppend(&text, "    dict(type='RandomResize', scale=", Square(pipeline.resize_scale),
                  ", ratio_range=", Range(pipeline.min_resize_ratio, pipeline.max_resize_ratio),
                  ", keep_ratio=True),\n    dict(type='RandomCrop', crop_size=", square,
                  ", recompute_bbox=", Bool(pipeline.recompute_boxes),
                  ", allow_negative_crop=", Bool(pipeline.allow_negative_crop), "),\n");
  absl::StrAppend(&text, "    dict(type='YOLOXHSVRandomAug', hue_delta=", pipeline.hue_delta,
                  ", saturation_delta=", pipeline.saturation_delta,
                  ", value_delta=", pipeline.value_delta,
                  "),\n    dict(type='RandomFlip', prob=", Number(pipeline.flip_probability),
                  "),\n    dict(type='Pad', size=", square,
                  ", pad_val=dict(img=", Grey(pipeline.pad_value), ")),\n");
  if (pipeline.mixup_probability > 0) {
    absl::StrAppend(&text, "    dict(type='CachedMixUp', img_scale=", square,
                    ", ratio_range=", Range(pipeline.min_mixup_ratio, pipeline.max_mixup_ratio),
                    ", flip_ratio=", Number(pipeline.mixup_flip_ratio),
                    ", max_cached_images=", pipeline.mixup_cache,
                    ", random_pop=False, pad_val=", Grey(pipeline.pad_value),
                    ", prob=", Number(pipeline.mixup_probability), "),\n");
  }
  if (pipeline.filter_small_boxes) {
    absl::StrAppend(&text, "    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1)),\n");
  }
  return text + "    dict(type='PackDetInputs')\n]\n";
}

constexpr char kLoader[] = R"(train_dataloader = dict(
    batch_size=$batch,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=None,
    dataset=dict(
        type='CocoDataset',
        metainfo=metainfo,
        data_root='data/',
        ann_file='revisions/$revision/train.json',
        data_prefix=dict(img=''),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline))
train_cfg = dict(
    type='EpochBasedTrainLoop',
    max_epochs=$epochs,
    val_interval=$interval$plain_intervals)
optim_wrapper = dict(
    type='OptimWrapper',
    accumulative_counts=$accumulation,
    optimizer=dict(type='AdamW', lr=$rate, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True))
$class_rates)";

constexpr char kCosine[] = R"(    dict(
        type='CosineAnnealingLR',
        eta_min=$lowest,
        begin=$half,
        end=$epochs,
        T_max=$period,
        by_epoch=True,
        convert_to_iter_based=True)
]
)";

constexpr char kAverage[] = R"(custom_hooks = [
    dict(
        type='EMAHook',
        ema_type='ExpMomentumEMA',
        momentum=$momentum,
        gamma=$gamma,
        update_buffers=True,
        priority=49),
)";

// What a key matches is no longer norm or bias to mmengine, so that the biases are named again.
constexpr char kClassRates[] = R"(optim_wrapper['paramwise_cfg']['custom_keys'] = {
    'bbox_head.rtm_cls': dict(lr_mult=$ratio),
    'bbox_head.rtm_cls.0.bias': dict(lr_mult=$ratio, decay_mult=0),
    'bbox_head.rtm_cls.1.bias': dict(lr_mult=$ratio, decay_mult=0),
    'bbox_head.rtm_cls.2.bias': dict(lr_mult=$ratio, decay_mult=0)}
)";

std::string ClassRatesText(const TrainingConfigParts& parts) {
  const double rate = parts.plan.new_class_learning_rate;
  if (parts.new_classes == 0 || rate == parts.plan.learning_rate) return "";
  if (parts.new_classes < parts.classes) {
    return absl::StrCat("# In Duet the rows of the ", parts.new_classes,
                        " classes that the checkpoint doesn't know learnt at ", Number(rate),
                        ". MMDetection has one\n# learning rate for all rows of rtm_cls.\n");
  }
  return absl::StrReplaceAll(kClassRates, {{"$ratio", Number(rate / parts.plan.learning_rate)}});
}

// The learning rates, and what happens between the epochs.
std::string ScheduleText(const TrainingPlan& plan) {
  std::string text = "param_scheduler = [\n";
  if (plan.warmup_steps > 1) {
    absl::StrAppend(&text, "    dict(type='LinearLR', start_factor=1e-05, by_epoch=False, begin=0,",
                    " end=", plan.warmup_steps, "),\n");
  }
  absl::StrAppend(&text, kCosine, kAverage);
  if (plan.plain_epochs > 0) {
    absl::StrAppend(&text, "    dict(type='PipelineSwitchHook', switch_epoch=",
                    plan.epochs - plan.plain_epochs, ", switch_pipeline=train_pipeline_stage2)\n");
  }
  return text + "]\n";
}

}  // namespace

std::string TrainingConfig(const TrainingConfigParts& parts) {
  const TrainingPlan& plan = parts.plan;
  std::string text = absl::StrCat("train_pipeline = ", PipelineText(parts.recipe.first),
                                  "train_pipeline_stage2 = ", PipelineText(parts.recipe.plain),
                                  kLoader, ScheduleText(plan));
  if (parts.backbone) {
    absl::StrAppend(&text, "model['backbone']['frozen_stages'] = ", plan.frozen_stages, "\n");
  }
  if (!parts.validation) {  // mmengine takes all of them or none
    absl::StrAppend(&text, "val_dataloader = None\nval_evaluator = None\nval_cfg = None\n");
  }
  std::string intervals;
  if (plan.evaluate_each_plain && plan.plain_epochs > 0) {
    intervals =
        absl::StrCat(",\n    dynamic_intervals=[(", plan.epochs - plan.plain_epochs, ", 1)]");
  }
  return absl::StrReplaceAll(text, {{"$batch", absl::StrCat(plan.batch)},
                                    {"$revision", parts.revision},
                                    {"$epochs", absl::StrCat(plan.epochs)},
                                    {"$interval", absl::StrCat(plan.evaluate_every)},
                                    {"$plain_intervals", intervals},
                                    {"$accumulation", absl::StrCat(parts.accumulation)},
                                    {"$rate", Number(plan.learning_rate)},
                                    {"$class_rates", ClassRatesText(parts)},
                                    {"$lowest", Number(plan.learning_rate * plan.final_share)},
                                    {"$half", absl::StrCat(plan.epochs / 2)},
                                    {"$period", absl::StrCat(std::max(1, plan.epochs / 2))},
                                    {"$momentum", Number(plan.average_momentum)},
                                    {"$gamma", Number(plan.average_gamma)}});
}

}  // namespace trainer
