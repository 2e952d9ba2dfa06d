#include "detector_service/rpc/translate.h"

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "model_service/mask_message.h"

namespace detector {
namespace {

// Far above any use; keeps counts inside an int.
constexpr std::uint32_t kMaxDetections = 100'000;

absl::Status CheckUnit(const char* field, double value) {
  if (value >= 0 && value <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, " must be from 0 to 1, not ", value));
}

namespace pb = duet::detector::v1;

absl::StatusOr<vision::MergeMethod> ReadMethod(const pb::Slicing& slicing,
                                               const DetectionModel& model) {
  switch (slicing.method()) {
    case pb::JOIN_METHOD_UNSPECIFIED:
      return model.has_rotated_boxes() ? vision::MergeMethod::kNms
                                       : vision::MergeMethod::kGreedyNmm;
    case pb::JOIN_METHOD_NMS:
      return vision::MergeMethod::kNms;
    case pb::JOIN_METHOD_NMM:
    case pb::JOIN_METHOD_GREEDY_NMM:
      if (model.has_rotated_boxes()) {
        return absl::InvalidArgumentError(
            "slicing.method is one that joins boxes, but the model makes rotated boxes, which can "
            "only be dropped: JOIN_METHOD_NMS");
      }
      return slicing.method() == pb::JOIN_METHOD_NMM ? vision::MergeMethod::kNmm
                                                     : vision::MergeMethod::kGreedyNmm;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("slicing.method is ", slicing.method(), ", which is none"));
  }
}

absl::StatusOr<vision::OverlapMetric> ReadMetric(const pb::Slicing& slicing) {
  switch (slicing.metric()) {
    case pb::OVERLAP_METRIC_IOU:
      return vision::OverlapMetric::kIou;
    case pb::OVERLAP_METRIC_UNSPECIFIED:
    case pb::OVERLAP_METRIC_IOS:
      return vision::OverlapMetric::kIos;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("slicing.metric is ", slicing.metric(), ", which is none"));
  }
}

}  // namespace

absl::StatusOr<std::optional<SlicingOptions>> ReadSlicing(const pb::DetectRequest& request,
                                                          const DetectOptions& options,
                                                          const DetectionModel& model) {
  if (!request.has_slicing()) return std::nullopt;
  const pb::Slicing& slicing = request.slicing();
  if (request.keep_unclipped()) {
    return absl::InvalidArgumentError(
        "keep_unclipped: with slicing boxes always end where their tile does");
  }
  // Far above any image; keeps sums inside an int.
  constexpr std::uint32_t kLargestTile = 1'000'000;
  if (slicing.tile_size() < kSmallestTile || slicing.tile_size() > kLargestTile) {
    return absl::InvalidArgumentError(absl::StrCat("slicing.tile_size must be from ", kSmallestTile,
                                                   " to ", kLargestTile, ", not ",
                                                   slicing.tile_size()));
  }
  if (slicing.overlap() >= slicing.tile_size()) {
    return absl::InvalidArgumentError(absl::StrCat("slicing.overlap must be less than the tile's ",
                                                   slicing.tile_size(), ", not ",
                                                   slicing.overlap()));
  }
  const float threshold = slicing.has_match_threshold() ? slicing.match_threshold() : 0.5F;
  if (!(threshold > 0 && threshold <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "slicing.match_threshold must be greater than 0 and at most 1, not ", threshold));
  }
  const absl::StatusOr<vision::MergeMethod> method = ReadMethod(slicing, model);
  if (!method.ok()) return method.status();
  const absl::StatusOr<vision::OverlapMetric> metric = ReadMetric(slicing);
  if (!metric.ok()) return metric.status();
  return SlicingOptions{
      .tile_size = static_cast<int>(slicing.tile_size()),
      .overlap = static_cast<int>(slicing.overlap()),
      .join = {.method = *method,
               .metric = *metric,
               .threshold = threshold,
               .class_agnostic = options.class_agnostic.value_or(model.settings().class_agnostic)},
      .whole_image = !slicing.omit_whole_image()};
}

absl::StatusOr<DetectOptions> ReadOptions(const duet::detector::v1::DetectRequest& request,
                                          const DetectionModel& model) {
  DetectOptions options;
  options.clip_to_image = !request.keep_unclipped();
  options.omit_masks = request.omit_masks();
  if (request.has_score_threshold()) {
    options.score_threshold = request.score_threshold();
    if (auto status = CheckUnit("score_threshold", request.score_threshold()); !status.ok()) {
      return status;
    }
  }
  if (request.has_nms_iou_threshold()) {
    options.nms_iou_threshold = request.nms_iou_threshold();
    if (auto status = CheckUnit("nms_iou_threshold", request.nms_iou_threshold()); !status.ok()) {
      return status;
    }
  }
  if (request.has_max_detections()) {
    if (request.max_detections() == 0) {
      return absl::InvalidArgumentError("max_detections must be at least 1");
    }
    options.max_detections = static_cast<int>(std::min(request.max_detections(), kMaxDetections));
  }
  if (request.has_class_agnostic()) options.class_agnostic = request.class_agnostic();
  for (const std::string& name : request.classes()) {
    const auto& known = model.classes();
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat("classes: the model has no class '", name,
                                                     "'; GetModel lists its ", known.size()));
    }
    options.class_ids.push_back(static_cast<int>(found - known.begin()));
  }
  return options;
}

absl::StatusOr<MaskFormats> ReadFormats(const duet::detector::v1::DetectRequest& request) {
  MaskFormats formats{.coco_rle = request.mask_formats().empty()};
  for (int i = 0; i < request.mask_formats_size(); ++i) {
    switch (request.mask_formats(i)) {
      case duet::vision::v1::MASK_FORMAT_COCO_RLE:
        formats.coco_rle = true;
        break;
      case duet::vision::v1::MASK_FORMAT_ROW_RUNS:
        formats.row_runs = true;
        break;
      default:
        return absl::InvalidArgumentError(absl::StrCat("mask_formats[", i, "] is ",
                                                       request.mask_formats(i),
                                                       ", which is no format to ask for"));
    }
  }
  return formats;
}

void WriteResponse(const std::vector<Detection>& detections, const DetectionModel& model,
                   vision::Size image, const MaskFormats& formats,
                   duet::detector::v1::DetectResponse* response) {
  response->set_image_width(image.width);
  response->set_image_height(image.height);
  response->set_model_version(model.version());
  for (const Detection& detection : detections) {
    duet::detector::v1::Detection* out = response->add_detections();
    duet::vision::v1::Box* box = out->mutable_box();
    box->set_x_min(detection.box.x_min);
    box->set_y_min(detection.box.y_min);
    box->set_x_max(detection.box.x_max);
    box->set_y_max(detection.box.y_max);
    out->set_score(detection.score);
    out->set_class_id(detection.class_id);
    out->set_label(model.classes()[detection.class_id]);
    if (detection.rotated_box) {
      duet::vision::v1::RotatedBox* rotated = out->mutable_rotated_box();
      rotated->set_center_x(detection.rotated_box->center.x);
      rotated->set_center_y(detection.rotated_box->center.y);
      rotated->set_width(detection.rotated_box->width);
      rotated->set_height(detection.rotated_box->height);
      rotated->set_angle(detection.rotated_box->angle);
    }
    if (detection.mask && formats.coco_rle) {
      model_service::WriteCocoRle(*detection.mask, out->mutable_mask());
    }
    if (detection.mask && formats.row_runs) {
      model_service::WriteRowRuns(*detection.mask, out->mutable_row_runs());
    }
  }
}

void WriteModelInfo(const DetectionModel& model, duet::vision::v1::ModelInfo* info) {
  info->set_name(model.name());
  info->set_version(model.version());
  info->set_input_width(model.settings().input_size.width);
  info->set_input_height(model.settings().input_size.height);
  info->set_precision(model.precision());
  info->set_device(model.options().device);
  info->set_parameter_count(model.parameter_count());
}

}  // namespace detector
