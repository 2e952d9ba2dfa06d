#include "detector_service/rpc/options.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include <vector>

namespace detector {
namespace {}  // namespace

bool AbslParseFlag(absl::string_view text, InputSize* size, std::string* error) {
  constexpr int kMultiple = 32;
  const std::vector<absl::string_view> sides = absl::StrSplit(text, 'x');
  vision::Size parsed{0, 0};
  const bool numbers = sides.size() <= 2 && absl::SimpleAtoi(sides.front(), &parsed.width) &&
                       absl::SimpleAtoi(sides.back(), &parsed.height);
  const bool none = numbers && sides.size() == 1 && parsed.width == 0;
  const auto fits = [](int side) {
    return side > 0 && side <= kMaxInputSide && side % kMultiple == 0;
  };
  if (!none && !(numbers && fits(parsed.width) && fits(parsed.height))) {
    *error = absl::StrCat("must be a multiple of ", kMultiple, " up to ", kMaxInputSide,
                          ", or two of them as WIDTHxHEIGHT");
    return false;
  }
  size->size = none ? std::nullopt : std::optional(parsed);
  return true;
}

std::string AbslUnparseFlag(const InputSize& size) {
  return size.size ? absl::StrCat(size.size->width, "x", size.size->height) : "0";
}

LoadOptions Options::load_options() const {
  LoadOptions load{.checkpoint = common.checkpoint,
                   .config_file = config_file,
                   .classes = classes,
                   .device = common.device.name,
                   .precision = common.precision,
                   .plain = plain,
                   .score_threshold = score_threshold};
  if (max_detections > 0) load.max_detections = max_detections;
  if (nms_iou_threshold >= 0) load.nms_iou_threshold = nms_iou_threshold;
  load.input_size = input_size.size;
  return load;
}

void AddFlags(Options* options, serving::FlagTable* flags) {
  AddFlags(
      &options->common,
      "The weights (.pth, zip or legacy, or .safetensors) of RTMDet, RTMDet-Ins, RTMDet-R, YOLOv5, "
      "YOLOv5u, YOLOv6, YOLOv7, YOLOv8, YOLOX, PPYOLOE or PPYOLOE+, as MMDetection, MMRotate or "
      "MMYOLO wrote them.",
      flags);
  flags->Renamed("max_megapixels", "max_image_megapixels");
  flags->Add("config_file", &options->config_file,
             "An mmengine config (.py) to use instead of the one in the checkpoint.");
  flags->Add("classes", &options->classes,
             "Names of the model's classes, where the checkpoint has none or wrong ones: a file "
             "with a name a line, or names with commas between them.");
  flags->Add("plain", &options->plain,
             "Compute with LibTorch's operators on the CPU too, to compare with the packed form.");
  flags->Add("score_threshold", &options->score_threshold,
             "Detections must score more than this, unless the request says otherwise.",
             serving::InRange(0.0, 1.0));
  flags->Add("max_detections", &options->max_detections,
             "At most so many detections per image, unless the request says otherwise; 0: the "
             "model config's.",
             serving::InRange(0, 100'000));
  flags->Add(
      "nms_iou_threshold", &options->nms_iou_threshold,
      "Overlap (IoU) above which the weaker of two boxes of a class is dropped; -1: the model "
      "config's.",
      [](double v) { return v == -1 || (v >= 0 && v <= 1) ? "" : "must be from 0 to 1, or -1"; });
  flags->Add(
      "input_size", &options->input_size,
      "Side of the network's square input in pixels, or WIDTHxHEIGHT, multiples of 32: instead of "
      "the test pipeline's sizes, or of a test pipeline that can't be followed; 0: the model "
      "config's.");
}

}  // namespace detector
