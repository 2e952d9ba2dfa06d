#include "detector_service/config/test_pipeline.h"

#include <absl/strings/str_cat.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "vision/geometry.h"

namespace detector {
namespace {

constexpr int kMaxWrappers = 8;  // of a data set

using enum KeyUse;

// Sources: mmcv/transforms/{loading,processing}.py, mmdet/datasets/transforms/{loading,transforms,
// formatting}.py, mmyolo/datasets/transforms/transforms.py.
constexpr KeyRule kLoadImage[] = {
    {"to_float32", kMustBe, "[False, None]"},  // else the resize would compute with floats
    {"color_type", kMustBe, "['color', 'color_ignore_orientation']"},
    // Duet turns images as their EXIF data says; and one decoder differs from another by rounding.
    {"imdecode_backend", kWarned, "['cv2', None]"},
    {"file_client_args", kIrrelevant},
    {"backend_args", kIrrelevant},
    {"ignore_empty", kIrrelevant},
};
constexpr KeyRule kResize[] = {
    {"scale", kRead},         {"keep_ratio", kRead},           {"scale_factor", kMustBe, "[None]"},
    {"interpolation", kRead}, {"backend", kMustBe, "['cv2']"}, {"clip_object_border", kIrrelevant},
};
constexpr KeyRule kFixShapeResize[] = {
    {"width", kRead},
    {"height", kRead},
    {"keep_ratio", kMustBe, "[False]"},
    {"interpolation", kRead},
    {"backend", kMustBe, "['cv2']"},
    {"pad_val", kIrrelevant},  // nothing is padded
    {"clip_object_border", kIrrelevant},
};
constexpr KeyRule kKeepRatioResize[] = {
    {"scale", kRead},
    {"keep_ratio", kMustBe, "[True]"},
    {"interpolation", kIrrelevant},  // it chooses its own
    {"backend", kMustBe, "['cv2']"},
    {"clip_object_border", kIrrelevant},
};
constexpr KeyRule kLetterResize[] = {
    {"scale", kRead},
    {"pad_val", kRead},
    {"allow_scale_up", kRead},
    {"use_mini_pad", kMustBe, "[False]"},
    {"stretch_only", kMustBe, "[False]"},
    {"half_pad_param", kMustBe, "[False]"},
    {"interpolation", kRead},
    {"backend", kMustBe, "['cv2']"},
    {"clip_object_border", kIrrelevant},
};
constexpr KeyRule kPad[] = {
    {"size", kRead},
    {"pad_to_square", kRead},
    {"size_divisor", kRead},
    {"pad_val", kRead},
    {"padding_mode", kMustBe, "['constant']"},
};
constexpr KeyRule kRandomFlip[] = {
    {"prob", kMustBe, "[0, None]"},
    {"direction", kIrrelevant},
    {"swap_seg_labels", kIrrelevant},
};

// The steps of a test pipeline that bring an image to the input's size.
class PipelineReader {
 public:
  PipelineReader(ConfigReader* reader, DetectorSettings* settings)
      : reader_(*reader), settings_(*settings) {}

  void Read(const PythonValue& pipeline) {
    if (pipeline.list() == nullptr) {
      return reader_.Fail("test_pipeline must be a list of steps");
    }
    for (const PythonValue& step : *pipeline.list()) ReadStep(step);
    Finish();
  }

 private:
  struct Step {
    const char* type;
    std::span<const KeyRule> rules;
    void (PipelineReader::*read)(const PythonValue&, const std::string&);
  };

  // Steps that leave the image alone.
  static constexpr std::string_view kIgnored[] = {"LoadAnnotations",   "LoadImageFromNDArray",
                                                  "ConvertBoxType",    "RegenerateBoxId",
                                                  "FilterAnnotations", "LoadPanopticAnnotations"};

  void ReadStep(const PythonValue& step) {
    static const Step kSteps[] = {
        {"LoadImageFromFile", kLoadImage, &PipelineReader::ReadLoadImage},
        {"Resize", kResize, &PipelineReader::ReadResize},
        {"FixShapeResize", kFixShapeResize, &PipelineReader::ReadFixShapeResize},
        {"YOLOv5KeepRatioResize", kKeepRatioResize, &PipelineReader::ReadKeepRatioResize},
        {"LetterResize", kLetterResize, &PipelineReader::ReadLetterResize},
        {"Pad", kPad, &PipelineReader::ReadPad},
        {"RandomFlip", kRandomFlip, nullptr},
    };
    if (reader_.Known(&step, "test_pipeline") == nullptr) return;
    const std::string type = TypeOf(step);
    if (type == "PackDetInputs") return ReadPack(step);
    if (std::find(std::begin(kIgnored), std::end(kIgnored), type) != std::end(kIgnored)) return;
    const auto* found = std::find_if(std::begin(kSteps), std::end(kSteps),
                                     [&](const Step& known) { return type == known.type; });
    if (found == std::end(kSteps)) {
      return reader_.Fail(absl::StrCat("test_pipeline step ", Show(step), " is not supported"));
    }
    const std::string where = absl::StrCat("test_pipeline ", type);
    reader_.Check(step, where, found->rules);
    if (found->read != nullptr) (this->*found->read)(step, where);
  }

  void Finish() {
    if (!resizes_) settings_.resize = Resize::kNone;  // as the reference: images stay as they are
    if (settings_.resize == Resize::kLetterbox && !pads_) {
      return reader_.Fail(
          "test_pipeline YOLOv5KeepRatioResize is supported with a LetterResize after it only");
    }
    if (resizes_ && scale_.width == 0) return reader_.Fail("test_pipeline resizes to no size");
    if (resizes_) settings_.input_size = scale_;
    settings_.pad_size = padded_;  // {0, 0} without a size to pad to
    settings_.pad_to_square = square_;
    settings_.pad_multiple = multiple_;
  }

  void BeginResize(Resize resize, const std::string& where) {
    if (resizes_ || pads_) reader_.Fail(where + " is supported as the first step only");
    settings_.resize = resize;
    resizes_ = true;
  }

  void ReadLoadImage(const PythonValue& step, const std::string& where) {
    std::string color_type = "color";
    reader_.String(step.Find("color_type"), where + " color_type", &color_type);
    if (color_type == "color_ignore_orientation") {
      reader_.Warn(where +
                   " color_type = 'color_ignore_orientation' is not followed: images are "
                   "turned as their EXIF data says, as people see them");
    }
  }

  // mmyolo's heads undo the padding if they are told of it.
  void ReadPack(const PythonValue& step) {
    if (settings_.resize != Resize::kLetterbox || padded_.width == 0) return;
    const PythonValue* keys = reader_.Known(step.Find("meta_keys"), "test_pipeline meta_keys");
    bool told = false;
    if (keys != nullptr && keys->list() != nullptr) {
      for (const PythonValue& key : *keys->list()) {
        told |= key.string() != nullptr && *key.string() == "pad_param";
      }
    }
    if (!told) {
      reader_.Warn(
          "test_pipeline PackDetInputs has no 'pad_param' among its meta_keys: the "
          "reference would leave boxes shifted by the padding, here they are where the "
          "objects are");
    }
  }

  void ReadResize(const PythonValue& step, const std::string& where) {
    bool keep_ratio = false;
    reader_.Bool(step.Find("keep_ratio"), where + " keep_ratio", &keep_ratio);
    BeginResize(keep_ratio ? Resize::kFit : Resize::kStretch, where);
    const PythonValue* scale = step.Find("scale");
    if (scale != nullptr && scale->list() == nullptr && !scale->is_none()) {  // one for both
      reader_.Int(scale, where + " scale", 1, kMaxInputSide, &scale_.width);
      scale_.height = scale_.width;
    } else {
      ReadSize(scale, where + " scale", &scale_);
    }
    ReadInterpolation(step, where);
  }

  void ReadFixShapeResize(const PythonValue& step, const std::string& where) {
    BeginResize(Resize::kStretch, where);
    ReadInterpolation(step, where);
    reader_.Int(step.Find("width"), where + " width", 1, kMaxInputSide, &scale_.width);
    reader_.Int(step.Find("height"), where + " height", 1, kMaxInputSide, &scale_.height);
  }

  void ReadKeepRatioResize(const PythonValue& step, const std::string& where) {
    BeginResize(Resize::kLetterbox, where);
    ReadSize(step.Find("scale"), where + " scale", &scale_);
  }

  // After a YOLOv5KeepRatioResize of the same square size it only pads.
  void ReadLetterResize(const PythonValue& step, const std::string& where) {
    if (settings_.resize != Resize::kLetterbox || !resizes_ || pads_) {
      reader_.Fail(where + " is supported after YOLOv5KeepRatioResize only");
    }
    settings_.letterbox_may_grow = true;
    reader_.Bool(step.Find("allow_scale_up"), where + " allow_scale_up",
                 &settings_.letterbox_may_grow);
    ReadSize(step.Find("scale"), where + " scale", &padded_);
    if (padded_.width == 0) reader_.Fail(where + " must have a scale");
    ReadInterpolation(step, where);
    ReadPadValue(step.Find("pad_val"), where + " pad_val");
    pads_ = true;
  }

  void ReadPad(const PythonValue& step, const std::string& where) {
    if (pads_ || (resizes_ && settings_.resize == Resize::kLetterbox)) {
      reader_.Fail(where + " after another step that pads is not supported");
    }
    reader_.Bool(step.Find("pad_to_square"), where + " pad_to_square", &square_);
    reader_.Int(step.Find("size_divisor"), where + " size_divisor", 1, kMaxInputSide, &multiple_);
    ReadSize(step.Find("size"), where + " size", &padded_);
    if (padded_.width > 0 && (square_ || multiple_ > 1)) {  // the reference asserts so
      reader_.Fail(where + " has a size beside pad_to_square or size_divisor");
    }
    ReadPadValue(step.Find("pad_val"), where + " pad_val");
    pads_ = true;
  }

  // The 'img' of a dict, or the value itself: a number for each channel in a tuple, or one integer
  // for all of them. OpenCV takes a single number that is no integer for the first channel and pads
  // the others with 0.
  void ReadPadValue(const PythonValue* value, const std::string& key) {
    settings_.pad_value = {0, 0, 0};
    value = reader_.Known(value, key);
    if (value != nullptr && value->dict() != nullptr) {
      value = reader_.Known(value->Find("img"), key + " img");
    }
    if (value == nullptr) return;
    if (value->list() != nullptr) {
      if (value->list()->size() != 3) {
        return reader_.Fail(absl::StrCat(key, " must have three numbers, not ", Show(*value)));
      }
      for (int i = 0; i < 3; ++i) {
        reader_.Int(&(*value->list())[i], key, 0, 255, &settings_.pad_value[i]);
      }
      return;
    }
    reader_.Int(value, key, 0, 255, &settings_.pad_value[0]);
    if (value->real() == nullptr) settings_.pad_value.fill(settings_.pad_value[0]);
  }

  void ReadInterpolation(const PythonValue& step, const std::string& where) {
    constexpr std::pair<std::string_view, Interpolation> kNames[] = {
        {"nearest", Interpolation::kNearest},
        {"bilinear", Interpolation::kBilinear},
        {"bicubic", Interpolation::kBicubic},
        {"area", Interpolation::kArea},
        {"lanczos", Interpolation::kLanczos}};
    std::string name = "bilinear";
    reader_.String(step.Find("interpolation"), where + " interpolation", &name);
    const auto* found = std::find_if(std::begin(kNames), std::end(kNames),
                                     [&](const auto& row) { return row.first == name; });
    if (found == std::end(kNames)) {
      return reader_.Fail(absl::StrCat(where, " interpolation = '", name, "' is not supported"));
    }
    settings_.interpolation = found->second;
  }

  // (width, height)
  void ReadSize(const PythonValue* value, const std::string& key, vision::Size* out) {
    value = reader_.Known(value, key);
    if (value == nullptr || value->is_none()) return;
    const PythonValue::List* list = value->list();
    if (list == nullptr || list->size() != 2) {
      return reader_.Fail(absl::StrCat(key, " must be (width, height), not ", Show(*value)));
    }
    reader_.Int(&(*list)[0], key, 1, kMaxInputSide, &out->width);
    reader_.Int(&(*list)[1], key, 1, kMaxInputSide, &out->height);
  }

  ConfigReader& reader_;
  DetectorSettings& settings_;
  vision::Size scale_{0, 0};
  vision::Size padded_{0, 0};
  bool square_ = false;
  int multiple_ = 1;
  bool resizes_ = false;
  bool pads_ = false;
};

// The pipeline of a data set, or of the first one in it; null if it has none.
const PythonValue* PipelineOf(const PythonValue* dataset, const std::string& where,
                              ConfigReader* reader) {
  for (int i = 0; i < kMaxWrappers && dataset != nullptr; ++i) {
    if (reader->Known(dataset, where) == nullptr) return nullptr;
    if (const PythonValue* pipeline = dataset->Find("pipeline")) {
      return reader->Known(pipeline, where + " pipeline");
    }
    const PythonValue* inner = dataset->Find("dataset");
    if (inner == nullptr) {
      const PythonValue* several = dataset->Find("datasets");
      if (several == nullptr || several->list() == nullptr || several->list()->empty()) {
        return nullptr;
      }
      inner = &several->list()->front();
    }
    dataset = inner;
  }
  return nullptr;
}

}  // namespace

const PythonValue* FindTestPipeline(const PythonValue& config, ConfigReader* reader) {
  const auto of_loader = [&](const char* name) -> const PythonValue* {
    const PythonValue* loader = reader->Get(config, name, "");
    if (loader == nullptr) return nullptr;
    if (loader->list() != nullptr && !loader->list()->empty()) loader = &loader->list()->front();
    return PipelineOf(loader->Find("dataset"), absl::StrCat(name, " dataset"), reader);
  };
  if (const PythonValue* found = of_loader("test_dataloader")) return found;
  if (const PythonValue* found = reader->Get(config, "test_pipeline", "")) return found;
  return of_loader("val_dataloader");
}

void ReadTestPipeline(const PythonValue& pipeline, ConfigReader* reader,
                      DetectorSettings* settings) {
  if (reader->Known(&pipeline, "test_pipeline") == nullptr) return;
  PipelineReader(reader, settings).Read(pipeline);
}

}  // namespace detector
