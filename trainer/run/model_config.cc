#include "trainer/run/model_config.h"

#include <absl/status/status.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>

#include <string_view>

#include "detector_service/config/detector_settings.h"
#include "detector_service/config/python_config.h"
#include "text/str_cat.h"

namespace trainer {
namespace {

constexpr std::string_view kMark =
    "\n# What duet-train changed. The datasets are relative to the folder of the training.\n";

std::string Quoted(const std::string& name) {
  return text::StrCat(
      "'", absl::StrReplaceAll(name, {{"\\", "\\\\"}, {"'", "\\'"}, {"\n", "\\n"}, {"\r", "\\r"}}),
      "'");
}

std::string SizeText(vision::Size size) {
  return text::StrCat("(", size.width, ", ", size.height, ")");
}

// With a comma behind each, so that one class is a tuple, too.
std::string TupleOf(const std::vector<std::string>& names) {
  std::string text = "(";
  for (const std::string& name : names) text::StrAppend(&text, Quoted(name), ", ");
  return text + ")";
}

std::string PaletteText(const std::vector<std::array<int, 3>>& palette) {
  return text::StrCat("[",
                      absl::StrJoin(palette, ", ",
                                    [](std::string* out, const std::array<int, 3>& color) {
                                      text::StrAppend(out, "(", absl::StrJoin(color, ", "), ")");
                                    }),
                      "]");
}

// Where the pipeline is that the source is tested with, as Python: of the data sets that are
// wrapped around it the innermost; "" if there is none.
std::string TestPipelineOf(const detector::PythonConfig& config) {
  for (const char* loader : {"test_dataloader", "val_dataloader"}) {
    std::string text = loader;
    const detector::PythonValue* value = config.values.Find(loader);
    for (int wrappers = 0; wrappers < 4 && value != nullptr; ++wrappers) {
      value = value->Find("dataset");
      text::StrAppend(&text, "['dataset']");
      if (value == nullptr) break;
      const detector::PythonValue* pipeline = value->Find("pipeline");
      if (pipeline != nullptr && pipeline->list() != nullptr) return text + "['pipeline']";
    }
    if (std::string_view(loader) == "test_dataloader") {
      const detector::PythonValue* pipeline = config.values.Find("test_pipeline");
      if (pipeline != nullptr && pipeline->list() != nullptr) return "test_pipeline";
    }
  }
  return "";
}

std::string PipelineText(vision::Size size) {
  return absl::StrReplaceAll(R"([
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='Resize', scale=$size, keep_ratio=True),
    dict(type='Pad', size=$size, pad_val=dict(img=(114, 114, 114))),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
])",
                             {{"$size", SizeText(size)}});
}

// How deep the network is by CSPNeXt's factor: round(n * factor) blocks of n, at least one.
absl::StatusOr<double> DeepenFactorOf(const detector::RtmdetConfig& network) {
  if (network.head != detector::HeadKind::kBoxes) {
    return absl::InvalidArgumentError(
        "it has no config, which only a model of boxes can do without");
  }
  // Of several that do, an official one.
  std::vector<int> candidates = {167, 330, 670, 1000, 1330};
  for (int thousandths = 1; thousandths <= 4000; ++thousandths) candidates.push_back(thousandths);
  for (const int thousandths : candidates) {
    const double factor = thousandths / 1000.0;
    const detector::RtmdetConfig scaled =
        detector::ScaledRtmdet(network.neck_channels / 256.0, factor, network.num_classes);
    if (scaled.stage_blocks == network.stage_blocks &&
        scaled.stage_channels == network.stage_channels)
      return factor;
  }
  return absl::InvalidArgumentError(
      "it has no config, and no factors of CSPNeXt give its numbers of channels and blocks; a "
      "checkpoint with a config is needed");
}

std::string Bool(bool value) { return value ? "True" : "False"; }

// As the official configs of RTMDet are.
constexpr char kRtmdet[] = R"(default_scope = 'mmdet'
model = dict(
    type='RTMDet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[103.53, 116.28, 123.675],
        std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False,
        batch_augments=None),
    backbone=dict(
        type='CSPNeXt',
        arch='P5',
        expand_ratio=0.5,
        deepen_factor=$deepen,
        widen_factor=$widen,
        channel_attention=True,
        use_depthwise=$backbone_depthwise,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True)),
    neck=dict(
        type='CSPNeXtPAFPN',
        in_channels=[$in_channels],
        out_channels=$neck,
        num_csp_blocks=$neck_blocks,
        expand_ratio=0.5,
        use_depthwise=$neck_depthwise,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True)),
    bbox_head=dict(
        type='RTMDetSepBNHead',
        num_classes=$classes,
        in_channels=$neck,
        stacked_convs=$stacked,
        feat_channels=$head,
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        with_objectness=False,
        exp_on_reg=$exp_on_reg,
        share_conv=$share_conv,
        use_depthwise=$head_depthwise,
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
test_pipeline = $pipeline
)";

constexpr char kTestLoaders[] = R"(val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        metainfo=metainfo,
        data_root='data/',
        ann_file='revisions/$revision/validation.json',
        data_prefix=dict(img=''),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric',
    ann_file='data/revisions/$revision/validation.json',
    metric=$metric,
    format_only=False)
test_evaluator = val_evaluator
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
)";

// Behind the source's text: what is different. `pipeline`: an assignment of test_pipeline, or "".
std::string Tail(const std::string& pipeline, const detector::RtmdetConfig& network,
                 const ModelConfigChanges& changes) {
  std::string text =
      text::StrCat(kMark, pipeline, "metainfo = dict(\n    classes=", TupleOf(changes.classes),
                   ",\n    palette=", PaletteText(changes.palette), ")\n",
                   "model['bbox_head']['num_classes'] = ", changes.classes.size(), "\n");
  // Where the source doesn't say it, Duet takes large models for official ones, and mmdet doesn't.
  if (network.exp_on_reg) text::StrAppend(&text, "model['bbox_head']['exp_on_reg'] = True\n");
  text::StrAppend(&text, kTestLoaders);
  return absl::StrReplaceAll(
      text, {{"$revision", changes.revision},
             {"$metric",
              network.head == detector::HeadKind::kInstances ? "['bbox', 'segm']" : "'bbox'"}});
}

}  // namespace

absl::StatusOr<std::string> WriteModelConfig(const detector::RtmdetConfig& network,
                                             vision::Size input_size) {
  const absl::StatusOr<double> deepen = DeepenFactorOf(network);
  if (!deepen.ok()) return deepen.status();
  const auto& stages = network.stage_channels;
  return absl::StrReplaceAll(
      kRtmdet, {{"$deepen", text::StrCat(*deepen)},
                {"$widen", text::StrCat(network.neck_channels / 256.0)},
                {"$in_channels", text::StrCat(stages[1], ", ", stages[2], ", ", stages[3])},
                {"$neck_blocks", text::StrCat(network.neck_blocks)},
                {"$neck_depthwise", Bool(network.depthwise.neck)},
                {"$neck", text::StrCat(network.neck_channels)},
                {"$classes", text::StrCat(network.num_classes)},
                {"$stacked", text::StrCat(network.stacked_convs)},
                {"$head_depthwise", Bool(network.depthwise.head)},
                {"$head", text::StrCat(network.head_channels)},
                {"$backbone_depthwise", Bool(network.depthwise.backbone)},
                {"$exp_on_reg", Bool(network.exp_on_reg)},
                {"$share_conv", Bool(network.share_conv)},
                {"$pipeline", PipelineText(input_size)}});
}

absl::StatusOr<std::string> FineTunedConfig(const std::string& source,
                                            const detector::RtmdetConfig& network,
                                            const ModelConfigChanges& changes) {
  std::string text = source.substr(0, source.find(kMark));
  if (text.empty()) {
    absl::StatusOr<std::string> written =
        WriteModelConfig(network, detector::DefaultSettings(network).input_size);
    if (!written.ok()) return written.status();
    text = *std::move(written);
  }
  const detector::PythonConfig config = detector::ParsePythonConfig(text);
  const detector::PythonValue* const head = config.values.Find({"model", "bbox_head"});
  if (head == nullptr || head->dict() == nullptr) {
    return absl::InvalidArgumentError(
        "its config has no model with a bbox_head whose number of classes could be changed");
  }
  std::string pipeline;
  if (changes.input_size.has_value()) {
    pipeline = text::StrCat("test_pipeline = ", PipelineText(*changes.input_size), "\n");
  } else if (const std::string found = TestPipelineOf(config); found.empty()) {
    pipeline = text::StrCat(
        "test_pipeline = ", PipelineText(detector::DefaultSettings(network).input_size), "\n");
  } else if (found != "test_pipeline") {
    pipeline = text::StrCat("test_pipeline = ", found, "\n");
  }
  return text + Tail(pipeline, network, changes);
}

}  // namespace trainer
