#include "detector_service/config/detector_settings.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "detector_service/config/config_reader.h"
#include "detector_service/config/test_pipeline.h"

namespace detector {
namespace {

constexpr int kMaxBoxSide = 1 << 20;
constexpr double kMaxPadValue = 1e6;
constexpr int kStrideOfAll = 32;  // of the network's coarsest cells
constexpr int kMax = std::numeric_limits<int>::max();

using enum KeyUse;

// Sources: mmdet/models/detectors/single_stage.py, mmyolo/models/detectors/yolo_detector.py.
constexpr KeyRule kModel[] = {
    {"data_preprocessor", kRead},
    {"backbone", kRead},  // these three in network_settings.cc
    {"neck", kRead},
    {"bbox_head", kRead},
    {"test_cfg", kRead},
    {"train_cfg", kIrrelevant},  // the rest is of training
    {"init_cfg", kIrrelevant},
    {"pretrained", kIrrelevant},
    {"use_syncbn", kIrrelevant},
};

// Sources: mmdet/models/dense_heads/{base_dense_head,rtmdet_head,rtmdet_ins_head}.py,
// mmrotate/models/dense_heads/rotated_rtmdet_head.py.
constexpr KeyRule kMmdetTestCfg[] = {
    {"score_thr", kRead},
    {"nms_pre", kRead},
    {"min_bbox_size", kRead},
    {"max_per_img", kRead},
    {"nms", kRead},
    {"mask_thr_binary", kRead},
    {"multi_label", kIrrelevant},  // these heads don't look at it
    {"yolox_style", kIrrelevant},
    {"decode_with_angle", kMustBe, "[True]"},
};

// Sources: mmyolo/models/dense_heads/{yolov5,rtmdet_rotated}_head.py.
constexpr KeyRule kMmyoloTestCfg[] = {
    {"score_thr", kRead},
    {"nms_pre", kRead},
    {"min_bbox_size", kRead},
    {"max_per_img", kRead},
    {"nms", kRead},
    {"mask_thr_binary", kIrrelevant},
    {"multi_label", kRead},
    {"yolox_style", kRead},
    {"decode_with_angle", kMustBe, "[True]"},  // of rotated boxes
};

// Source: mmcv/ops/nms.py.
constexpr KeyRule kNms[] = {
    {"iou_threshold", kRead},     {"iou_thr", kRead},
    {"class_agnostic", kRead},    {"split_thr", kRead},
    {"offset", kMustBe, "[0]"},   {"score_threshold", kMustBe, "[0]"},
    {"max_num", kMustBe, "[-1]"}, {"clockwise", kMustBe, "[True]"},
};

// Sources: mmengine/model/base_model/data_preprocessor.py,
// mmdet/models/data_preprocessors/data_preprocessor.py.
constexpr KeyRule kPreprocessor[] = {
    {"mean", kRead},
    {"std", kRead},
    {"bgr_to_rgb", kRead},
    {"rgb_to_bgr", kRead},
    {"pad_size_divisor", kRead},
    {"pad_value", kRead},
    {"pad_mask", kIrrelevant},  // the rest is of training
    {"mask_pad_value", kIrrelevant},
    {"pad_seg", kIrrelevant},
    {"seg_pad_value", kIrrelevant},
    {"boxtype2tensor", kIrrelevant},
    {"non_blocking", kIrrelevant},
    {"batch_augments", kIrrelevant},
};

void ReadNms(const PythonValue& test, ConfigReader* reader, DetectorSettings* settings) {
  const PythonValue* nms = reader->Get(test, "nms", "test_cfg");
  if (nms == nullptr) return;
  if (nms->dict() == nullptr) {
    return reader->Fail(absl::StrCat("test_cfg nms = ", Show(*nms), " is not supported"));
  }
  // Which of the two it is follows from the head.
  const std::string type = TypeOf(*nms);
  if (reader->Get(*nms, "type", "test_cfg nms") != nullptr && type != "nms" &&
      type != "nms_rotated") {
    return reader->Fail(absl::StrCat("test_cfg nms type '", type, "' is not supported"));
  }
  reader->Check(*nms, "test_cfg nms", kNms);
  if (nms->Find("iou_threshold") != nullptr && nms->Find("iou_thr") != nullptr) {
    reader->Fail("test_cfg nms has both iou_threshold and iou_thr");
  }
  for (const char* key : {"iou_threshold", "iou_thr"}) {
    reader->Number(nms->Find(key), absl::StrCat("test_cfg nms ", key), 0, 1,
                   &settings->nms_iou_threshold);
  }
  reader->Bool(nms->Find("class_agnostic"), "test_cfg nms class_agnostic",
               &settings->class_agnostic);
  reader->Int(nms->Find("split_thr"), "test_cfg nms split_thr", 0, kMax,
              &settings->nms_split_threshold);
}

void ReadTestCfg(const PythonValue& test, ConfigReader* reader, DetectorSettings* settings) {
  if (test.is_none()) return;
  const bool mmyolo = settings->rule == PostprocessRule::kMmyolo;
  if (mmyolo) {
    reader->Check(test, "test_cfg", kMmyoloTestCfg);
  } else {
    reader->Check(test, "test_cfg", kMmdetTestCfg);
  }
  // What the heads take for keys that are absent.
  settings->nms_pre = mmyolo ? 100000 : -1;
  settings->min_bbox_size = -1;
  reader->Number(test.Find("score_thr"), "test_cfg score_thr", -1, 1, &settings->score_threshold);
  reader->Int(test.Find("nms_pre"), "test_cfg nms_pre", -kMax, kMax, &settings->nms_pre);
  reader->Number(test.Find("min_bbox_size"), "test_cfg min_bbox_size", -kMaxBoxSide, kMaxBoxSide,
                 &settings->min_bbox_size);
  reader->Int(test.Find("max_per_img"), "test_cfg max_per_img", 1, kMax, &settings->max_per_img);
  ReadNms(test, reader, settings);
  if (!mmyolo) {
    reader->Number(test.Find("mask_thr_binary"), "test_cfg mask_thr_binary", 0, 1,
                   &settings->mask_threshold);
    return;
  }
  reader->Bool(test.Find("multi_label"), "test_cfg multi_label", &settings->multi_label);
  settings->yolox_style = false;
  reader->Bool(test.Find("yolox_style"), "test_cfg yolox_style", &settings->yolox_style);
  if (settings->yolox_style) settings->max_per_img = kMax;
}

// Three numbers, or one for all three. False, with a failure, for something else; also if there are
// none.
bool ReadChannels(const PythonValue* value, const std::string& key, ConfigReader* reader,
                  std::array<float, 3>* out) {
  value = reader->Known(value, key);
  if (value == nullptr || value->is_none()) return false;
  const PythonValue::List* list = value->list();
  if (list != nullptr && (list->size() == 3 || list->size() == 1)) {
    std::array<double, 3> numbers{};
    bool fits = true;
    for (std::size_t i = 0; i < 3; ++i) fits &= (*list)[i % list->size()].number(&numbers[i]);
    if (fits) {
      std::transform(numbers.begin(), numbers.end(), out->begin(),
                     [](double number) { return static_cast<float>(number); });
      return true;
    }
  }
  reader->Fail(absl::StrCat(key, " must be a list of three numbers or of one, not ", Show(*value)));
  return false;
}

void ReadPreprocessor(const PythonValue& input, ConfigReader* reader, DetectorSettings* settings) {
  if (input.is_none()) return;
  constexpr std::string_view kTypes[] = {"", "DetDataPreprocessor", "YOLOv5DetDataPreprocessor",
                                         "PPYOLOEDetDataPreprocessor", "ImgDataPreprocessor"};
  if (std::find(std::begin(kTypes), std::end(kTypes), TypeOf(input)) == std::end(kTypes)) {
    return reader->Fail(
        absl::StrCat("data_preprocessor type '", TypeOf(input), "' is not supported"));
  }
  const std::string where = "data_preprocessor";
  reader->Check(input, where, kPreprocessor);
  const bool mean = ReadChannels(input.Find("mean"), where + " mean", reader, &settings->mean);
  const bool std = ReadChannels(input.Find("std"), where + " std", reader, &settings->std);
  if (!mean && !std) {  // then upstream takes pixels as they are
    settings->mean = {0, 0, 0};
    settings->std = {1, 1, 1};
  } else if (mean != std) {
    reader->Fail("data_preprocessor must have mean and std, or neither");
  }
  for (float value : settings->std) {
    if (!(value > 0)) reader->Fail("data_preprocessor std must be positive");
  }
  bool to_rgb = false, to_bgr = false;
  reader->Bool(input.Find("bgr_to_rgb"), where + " bgr_to_rgb", &to_rgb);
  reader->Bool(input.Find("rgb_to_bgr"), where + " rgb_to_bgr", &to_bgr);
  if (to_rgb && to_bgr) reader->Fail("data_preprocessor has both bgr_to_rgb and rgb_to_bgr");
  // Both swap the first and the last channel of what was read, which is BGR.
  settings->bgr_to_rgb = to_rgb || to_bgr;
  settings->batch_multiple = 1;
  reader->Int(input.Find("pad_size_divisor"), where + " pad_size_divisor", 1, kMaxInputSide,
              &settings->batch_multiple);
  double value = 0;
  reader->Number(input.Find("pad_value"), where + " pad_value", -kMaxPadValue, kMaxPadValue,
                 &value);
  settings->batch_pad_value = static_cast<float>(value);
}

// The pipeline's steps, if they can be followed, with another size.
void ReadPipelineFor(vision::Size size, const PythonConfig& config, ConfigReader* reader,
                     DetectorSettings* settings) {
  ConfigReader own;
  DetectorSettings read = *settings;
  if (const PythonValue* pipeline = FindTestPipeline(config.values, &own)) {
    ReadTestPipeline(*pipeline, &own, &read);
  }
  if (own.status().ok()) {
    *settings = read;
    for (const std::string& warning : own.warnings()) reader->Warn(warning);
  } else {
    reader->Warn(absl::StrCat(own.status().message(),
                              "; with the input size that was asked for, images are scaled and "
                              "padded as the official models of this family do"));
  }
  if (settings->resize == Resize::kNone) settings->resize = Resize::kFit;
  settings->input_size = size;
  settings->pad_size.reset();
  settings->pad_to_square = false;
  settings->pad_multiple = kStrideOfAll;
  settings->batch_multiple = 1;
}

// The detectors whose predict() is that of mmdet's single-stage ones.
void CheckModelType(const PythonValue& model, ConfigReader* reader) {
  constexpr std::string_view kTypes[] = {"", "RTMDet", "YOLODetector", "SingleStageDetector"};
  const std::string type = TypeOf(model);
  if (std::find(std::begin(kTypes), std::end(kTypes), type) == std::end(kTypes)) {
    reader->Warn(absl::StrCat("model type '", type,
                              "' is not known and taken for an ordinary single-stage detector: "
                              "answers may differ from the reference's"));
  }
}

}  // namespace

std::string DetectorSettings::Fingerprint() const {
  std::string text = absl::StrFormat(
      "%d,%dx%d,%d,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%d,%d,%.17g,%d,%.17g,%.17g,%d,%d,%d,%.17g",
      static_cast<int>(resize), input_size.width, input_size.height, pad_value[0], mean[0], mean[1],
      mean[2], std[0], std[1], std[2], bgr_to_rgb, static_cast<int>(rule), score_threshold, nms_pre,
      min_bbox_size, nms_iou_threshold, max_per_img, multi_label, yolox_style, mask_threshold);
  absl::StrAppendFormat(&text, ",%d,%d,%d,%d,%d", static_cast<int>(interpolation), pad_value[1],
                        pad_value[2], class_agnostic, nms_split_threshold);
  absl::StrAppendFormat(&text, ",%dx%d,%d,%d,%d,%d,%.9g", pad_to().width, pad_to().height,
                        pad_to_square, pad_multiple, letterbox_may_grow, batch_multiple,
                        batch_pad_value);
  return text;
}

absl::StatusOr<DetectorSettings> ReadSettings(const PythonConfig& config,
                                              const DetectorSettings& defaults,
                                              std::vector<std::string>* warnings,
                                              std::optional<vision::Size> input_size) {
  DetectorSettings settings = defaults;
  ConfigReader reader;
  if (const PythonValue* model = reader.Get(config.values, "model", "")) {
    CheckModelType(*model, &reader);
    reader.Check(*model, "model", kModel);
    if (const PythonValue* test = reader.Get(*model, "test_cfg", "model")) {
      // Which the detector lays over the head's own; Runner writes both into checkpoints.
      const PythonValue* own = model->Find({"bbox_head", "test_cfg"});
      const bool merged = own != nullptr && own->dict() != nullptr && test->dict() != nullptr;
      ReadTestCfg(merged ? Merge(*test, *own) : *test, &reader, &settings);
    }
    if (const PythonValue* input = reader.Get(*model, "data_preprocessor", "model")) {
      ReadPreprocessor(*input, &reader, &settings);
    }
  }
  if (input_size) {
    ReadPipelineFor(*input_size, config, &reader, &settings);
  } else if (const PythonValue* pipeline = FindTestPipeline(config.values, &reader)) {
    ReadTestPipeline(*pipeline, &reader, &settings);
  }
  if (!reader.status().ok()) return reader.status();
  if (warnings != nullptr) {
    warnings->insert(warnings->end(), reader.warnings().begin(), reader.warnings().end());
  }
  return settings;
}

}  // namespace detector
