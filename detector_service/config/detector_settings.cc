#include "detector_service/config/detector_settings.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace detector {
namespace {

constexpr int kSizeMultiple = 32;
constexpr int kMaxInputSide = 4096;

// Remembers the first defect, so that the reading below needs no error handling.
class Reader {
 public:
  void Number(const PythonValue* value, const char* key, double least, double most, double* out) {
    if (value == nullptr || value->is_none()) return;
    double number = 0;
    if (!value->number(&number) || !(number >= least && number <= most)) {
      Fail(absl::StrFormat("%s must be a number from %g to %g", key, least, most));
      return;
    }
    *out = number;
  }

  void Int(const PythonValue* value, const char* key, int least, int most, int* out) {
    double number = *out;
    Number(value, key, least, most, &number);
    if (number != std::floor(number)) return Fail(absl::StrCat(key, " must be a whole number"));
    *out = static_cast<int>(number);
  }

  void Bool(const PythonValue* value, const char* key, bool* out) {
    if (value == nullptr || value->is_none()) return;
    if (value->boolean() == nullptr) return Fail(absl::StrCat(key, " must be True or False"));
    *out = *value->boolean();
  }

  // Three numbers, or one for all three.
  void Three(const PythonValue* value, const char* key, std::array<float, 3>* out) {
    if (value == nullptr || value->is_none()) return;
    const PythonValue::List* list = value->list();
    if (list == nullptr || list->size() != 3) {
      return Fail(absl::StrCat(key, " must be a list of three numbers"));
    }
    for (int i = 0; i < 3; ++i) {
      double number = 0;
      if (!(*list)[i].number(&number)) {
        return Fail(absl::StrCat(key, " must be a list of three numbers"));
      }
      (*out)[i] = static_cast<float>(number);
    }
  }

  // (width, height)
  void Size(const PythonValue* value, const char* key, vision::Size* out) {
    if (value == nullptr || value->is_none()) return;
    const PythonValue::List* list = value->list();
    if (list == nullptr || list->size() != 2) {
      return Fail(absl::StrCat(key, " must be (width, height)"));
    }
    Int(&(*list)[0], key, 1, kMaxInputSide, &out->width);
    Int(&(*list)[1], key, 1, kMaxInputSide, &out->height);
  }

  void Fail(std::string what) {
    if (status_.ok()) {
      status_ = absl::FailedPreconditionError(absl::StrCat("model config: ", what));
    }
  }

  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

// The type without the package that it is registered in: "mmdet.Pad" is "Pad".
std::string TypeOf(const PythonValue& step) {
  const PythonValue* type = step.Find("type");
  if (type == nullptr || type->string() == nullptr) return "";
  return type->string()->substr(type->string()->rfind('.') + 1);
}

// The steps of a test pipeline that bring an image to the input's size.
class PipelineReader {
 public:
  PipelineReader(Reader* reader, DetectorSettings* settings)
      : reader_(*reader), settings_(*settings) {}

  void Read(const PythonValue& pipeline) {
    if (pipeline.list() == nullptr) return;
    for (const PythonValue& step : *pipeline.list()) {
      const std::string type = TypeOf(step);
      if (type == "Resize") ReadResize(step);
      if (type == "FixShapeResize") ReadFixShapeResize(step);
      if (type == "YOLOv5KeepRatioResize") ReadKeepRatioResize(step);
      if (type == "LetterResize") ReadLetterResize(step);
      if (type == "Pad") ReadPad(step);
    }
    if (scale_.width == 0) scale_ = padded_;
    if (padded_.width == 0) padded_ = scale_;
    if (padded_.width == 0) return;
    if (scale_ != padded_ || scale_.width != scale_.height) {
      reader_.Fail("test_pipeline must resize and pad to one square size");
    } else if (scale_.width % kSizeMultiple != 0) {
      reader_.Fail(absl::StrCat("the input size must be a multiple of ", kSizeMultiple, ", not ",
                                scale_.width));
    }
    settings_.input_size = padded_;
  }

 private:
  void ReadResize(const PythonValue& step) {
    settings_.resize = Resize::kFit;
    reader_.Size(step.Find("scale"), "test_pipeline Resize scale", &scale_);
    if (!IsSet(step, "keep_ratio")) {
      reader_.Fail("test_pipeline Resize without keep_ratio is not supported");
    }
  }

  void ReadFixShapeResize(const PythonValue& step) {
    settings_.resize = Resize::kStretch;
    const PythonValue* interpolation = step.Find("interpolation");
    if (IsSet(step, "keep_ratio") || interpolation == nullptr ||
        interpolation->string() == nullptr || *interpolation->string() != "bicubic") {
      reader_.Fail("test_pipeline FixShapeResize is supported without keep_ratio, bicubic only");
    }
    reader_.Int(step.Find("width"), "test_pipeline FixShapeResize width", 1, kMaxInputSide,
                &scale_.width);
    reader_.Int(step.Find("height"), "test_pipeline FixShapeResize height", 1, kMaxInputSide,
                &scale_.height);
  }

  void ReadKeepRatioResize(const PythonValue& step) {
    settings_.resize = Resize::kLetterbox;
    reader_.Size(step.Find("scale"), "test_pipeline YOLOv5KeepRatioResize scale", &scale_);
  }

  // After a YOLOv5KeepRatioResize of the same square size it only pads.
  void ReadLetterResize(const PythonValue& step) {
    if (settings_.resize != Resize::kLetterbox || scale_.width == 0) {
      reader_.Fail("test_pipeline LetterResize is supported after YOLOv5KeepRatioResize only");
    }
    for (const char* option : {"allow_scale_up", "use_mini_pad", "stretch_only"}) {
      // allow_scale_up is mmyolo's default.
      if (IsSet(step, option) || (option[0] == 'a' && step.Find(option) == nullptr)) {
        reader_.Fail(absl::StrCat("test_pipeline LetterResize with ", option, " is not supported"));
      }
    }
    reader_.Size(step.Find("scale"), "test_pipeline LetterResize scale", &padded_);
    ReadPadValue(step.Find("pad_val"), "test_pipeline LetterResize pad_val");
  }

  void ReadPad(const PythonValue& step) {
    if (!IsSet(step, "pad_to_square")) {
      reader_.Size(step.Find("size"), "test_pipeline Pad size", &padded_);
    }
    ReadPadValue(step.Find("pad_val"), "test_pipeline Pad pad_val");
  }

  // A number, one per channel (taken to be equal), or either as what is for the 'img'.
  void ReadPadValue(const PythonValue* value, const char* key) {
    if (value != nullptr && value->dict() != nullptr) value = value->Find("img");
    if (value != nullptr && value->list() != nullptr && !value->list()->empty()) {
      value = &value->list()->front();
    }
    reader_.Int(value, key, 0, 255, &settings_.pad_value);
  }

  bool IsSet(const PythonValue& step, const char* key) {
    bool set = false;
    reader_.Bool(step.Find(key), key, &set);
    return set;
  }

  Reader& reader_;
  DetectorSettings& settings_;
  vision::Size scale_{0, 0};
  vision::Size padded_{0, 0};
};

const PythonValue* FindPipeline(const PythonValue& config) {
  for (const PythonValue* found :
       {config.Find({"test_dataloader", "dataset", "pipeline"}), config.Find("test_pipeline"),
        config.Find({"val_dataloader", "dataset", "pipeline"})}) {
    if (found != nullptr) return found;
  }
  return nullptr;
}

}  // namespace

std::string DetectorSettings::Fingerprint() const {
  return absl::StrFormat(
      "%d,%dx%d,%d,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%d,%d,%.17g,%d,%.17g,%.17g,%d,%d,%d,%.17g",
      static_cast<int>(resize), input_size.width, input_size.height, pad_value, mean[0], mean[1],
      mean[2], std[0], std[1], std[2], bgr_to_rgb, static_cast<int>(rule), score_threshold, nms_pre,
      min_bbox_size, nms_iou_threshold, max_per_img, multi_label, yolox_style, mask_threshold);
}

absl::StatusOr<DetectorSettings> ReadSettings(const PythonConfig& config,
                                              const DetectorSettings& defaults) {
  DetectorSettings settings = defaults;
  Reader reader;
  for (const char* name : {"model", "test_dataloader", "test_pipeline"}) {
    const auto unreadable = config.unreadable.find(name);
    if (unreadable != config.unreadable.end()) {
      reader.Fail(absl::StrCat("'", name, "' cannot be read: ", unreadable->second));
    }
  }
  const PythonValue& root = config.values;
  if (const PythonValue* test = root.Find({"model", "test_cfg"})) {
    reader.Number(test->Find("score_thr"), "test_cfg score_thr", 0, 1, &settings.score_threshold);
    reader.Int(test->Find("nms_pre"), "test_cfg nms_pre", 1, std::numeric_limits<int>::max(),
               &settings.nms_pre);
    reader.Number(test->Find("min_bbox_size"), "test_cfg min_bbox_size", -1, kMaxInputSide,
                  &settings.min_bbox_size);
    reader.Int(test->Find("max_per_img"), "test_cfg max_per_img", 1,
               std::numeric_limits<int>::max(), &settings.max_per_img);
    reader.Number(test->Find({"nms", "iou_threshold"}), "test_cfg nms iou_threshold", 0, 1,
                  &settings.nms_iou_threshold);
    reader.Bool(test->Find("multi_label"), "test_cfg multi_label", &settings.multi_label);
    reader.Bool(test->Find("yolox_style"), "test_cfg yolox_style", &settings.yolox_style);
    if (settings.yolox_style) settings.max_per_img = std::numeric_limits<int>::max();
    reader.Number(test->Find("mask_thr_binary"), "test_cfg mask_thr_binary", 0, 1,
                  &settings.mask_threshold);
    const PythonValue* nms = test->Find("nms");
    // Which of the two it is follows from the head.
    if (nms != nullptr && TypeOf(*nms) != "nms" && TypeOf(*nms) != "nms_rotated" &&
        !TypeOf(*nms).empty()) {
      reader.Fail(absl::StrCat("test_cfg nms type '", TypeOf(*nms), "' is not supported"));
    }
  }
  if (const PythonValue* input = root.Find({"model", "data_preprocessor"})) {
    reader.Three(input->Find("mean"), "data_preprocessor mean", &settings.mean);
    reader.Three(input->Find("std"), "data_preprocessor std", &settings.std);
    reader.Bool(input->Find("bgr_to_rgb"), "data_preprocessor bgr_to_rgb", &settings.bgr_to_rgb);
    for (float value : settings.std) {
      if (!(value > 0)) reader.Fail("data_preprocessor std must be positive");
    }
  }
  if (const PythonValue* pipeline = FindPipeline(root)) {
    PipelineReader(&reader, &settings).Read(*pipeline);
  }
  if (!reader.status().ok()) return reader.status();
  return settings;
}

}  // namespace detector
