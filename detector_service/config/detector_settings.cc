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

// Collects the first thing that is wrong, so that the reading below stays a list.
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

const std::string& TypeOf(const PythonValue& step) {
  static const std::string none;
  const PythonValue* type = step.Find("type");
  return type != nullptr && type->string() != nullptr ? *type->string() : none;
}

void ReadPipeline(const PythonValue& pipeline, Reader* reader, DetectorSettings* settings) {
  if (pipeline.list() == nullptr) return;
  vision::Size scale{0, 0};
  vision::Size padded{0, 0};
  for (const PythonValue& step : *pipeline.list()) {
    if (TypeOf(step) == "Resize") {
      reader->Size(step.Find("scale"), "test_pipeline Resize scale", &scale);
      bool keep_ratio = false;
      reader->Bool(step.Find("keep_ratio"), "test_pipeline Resize keep_ratio", &keep_ratio);
      if (!keep_ratio) reader->Fail("test_pipeline Resize without keep_ratio is not supported");
    } else if (TypeOf(step) == "Pad") {
      reader->Size(step.Find("size"), "test_pipeline Pad size", &padded);
      const PythonValue* pad_val = step.Find("pad_val");
      if (pad_val != nullptr && pad_val->dict() != nullptr) pad_val = pad_val->Find("img");
      if (pad_val != nullptr && pad_val->list() != nullptr && !pad_val->list()->empty()) {
        pad_val = &pad_val->list()->front();
      }
      reader->Int(pad_val, "test_pipeline Pad pad_val", 0, 255, &settings->pad_value);
    }
  }
  if (scale.width == 0) scale = padded;
  if (padded.width == 0) padded = scale;
  if (padded.width == 0) return;
  if (scale != padded || scale.width != scale.height) {
    reader->Fail("test_pipeline must resize and pad to one square size");
  } else if (scale.width % kSizeMultiple != 0) {
    reader->Fail(absl::StrCat("the input size must be a multiple of ", kSizeMultiple, ", not ",
                              scale.width));
  }
  settings->input_size = padded;
}

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
  return absl::StrFormat("%dx%d,%d,%g,%g,%g,%g,%g,%g,%d,%g,%d,%g,%g,%d", input_size.width,
                         input_size.height, pad_value, mean[0], mean[1], mean[2], std[0], std[1],
                         std[2], bgr_to_rgb, score_threshold, nms_pre, min_bbox_size,
                         nms_iou_threshold, max_per_img);
}

absl::StatusOr<DetectorSettings> ReadSettings(const PythonConfig& config) {
  DetectorSettings settings;
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
    const PythonValue* nms = test->Find("nms");
    if (nms != nullptr && TypeOf(*nms) != "nms" && !TypeOf(*nms).empty()) {
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
  if (const PythonValue* pipeline = FindPipeline(root)) ReadPipeline(*pipeline, &reader, &settings);
  if (!reader.status().ok()) return reader.status();
  return settings;
}

}  // namespace detector
