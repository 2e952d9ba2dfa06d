#include "prelabel/translate.h"

#include <absl/types/span.h>

#include <algorithm>
#include <utility>

#include "curation/detection.h"
#include "text/str_cat.h"
#include "vision/mask_rle.h"
#include "vision/rotated_box.h"

namespace prelabel {
namespace {

namespace detector = duet::detector::v1;
namespace segmenter = duet::segmenter::v1;
using label_studio::Object;

constexpr int kDefaultLowResSize = 256;  // SAM's

vision::Box FromProto(const duet::vision::v1::Box& box) {
  return {box.x_min(), box.y_min(), box.x_max(), box.y_max()};
}

void ToProto(const vision::Box& box, duet::vision::v1::Box* proto) {
  proto->set_x_min(box.x_min);
  proto->set_y_min(box.y_min);
  proto->set_x_max(box.x_max);
  proto->set_y_max(box.y_max);
}

absl::StatusOr<vision::Mask> FromProto(const duet::vision::v1::RowRuns& runs) {
  return vision::DecodeRowRuns({static_cast<int>(runs.width()), static_cast<int>(runs.height())},
                               absl::MakeConstSpan(runs.counts().data(), runs.counts_size()));
}

absl::StatusOr<vision::Mask> FromProto(const duet::vision::v1::CocoRle& rle) {
  return vision::DecodeCocoRle({static_cast<int>(rle.width()), static_cast<int>(rle.height())},
                               rle.counts());
}

absl::StatusOr<Object> ToObject(const detector::Detection& detection) {
  Object object{.class_name = detection.label(),
                .score = detection.score(),
                .box = FromProto(detection.box())};
  if (detection.has_rotated_box()) {
    const auto& box = detection.rotated_box();
    object.rotated_box = vision::RotatedBox{.center = {box.center_x(), box.center_y()},
                                            .width = box.width(),
                                            .height = box.height(),
                                            .angle = box.angle()};
  }
  // A detector of an older release has no row runs and sends COCO's code.
  if (detection.has_row_runs() || detection.has_mask()) {
    auto mask =
        detection.has_row_runs() ? FromProto(detection.row_runs()) : FromProto(detection.mask());
    if (!mask.ok()) {
      return absl::InternalError(
          text::StrCat("the detector sent a bad mask: ", mask.status().message()));
    }
    object.mask = *std::move(mask);
    object.mask_score = detection.score();
  }
  return object;
}

absl::StatusOr<ScoredMask> BestMask(const segmenter::PromptResult& result) {
  const auto best =
      std::max_element(result.masks().begin(), result.masks().end(),
                       [](const auto& a, const auto& b) { return a.iou_score() < b.iou_score(); });
  if (best == result.masks().end()) return absl::InternalError("the segmenter sent no mask");
  auto mask = FromProto(best->row_runs());
  if (!mask.ok()) {
    return absl::InternalError(
        text::StrCat("the segmenter sent a bad mask: ", mask.status().message()));
  }
  return ScoredMask{*std::move(mask), best->iou_score()};
}

void ToProto(const Slicing& slicing, detector::Slicing* out) {
  out->set_tile_size(static_cast<std::uint32_t>(slicing.tile));
  // Truncated, as SAHI does.
  out->set_overlap(static_cast<std::uint32_t>(slicing.overlap * slicing.tile));
  switch (slicing.join) {
    case SliceJoin::kAuto:
      break;
    case SliceJoin::kNms:
      out->set_method(detector::JOIN_METHOD_NMS);
      break;
    case SliceJoin::kNmm:
      out->set_method(detector::JOIN_METHOD_NMM);
      break;
    case SliceJoin::kGreedyNmm:
      out->set_method(detector::JOIN_METHOD_GREEDY_NMM);
      break;
  }
  out->set_metric(slicing.metric == SliceMetric::kIou ? detector::OVERLAP_METRIC_IOU
                                                      : detector::OVERLAP_METRIC_IOS);
  out->set_match_threshold(static_cast<float>(slicing.threshold));
  out->set_omit_whole_image(!slicing.whole_image);
}

}  // namespace

detector::DetectRequest ToDetectRequest(const Settings& settings, bool needs_masks) {
  detector::DetectRequest request;
  const bool weak_too = settings.score == Score::kUncertainty;
  request.set_score_threshold(
      static_cast<float>(weak_too ? std::min(settings.score_threshold, curation::kLeastScore)
                                  : settings.score_threshold));
  if (settings.max_detections && !weak_too) {
    request.set_max_detections(static_cast<std::uint32_t>(*settings.max_detections));
  }
  if (settings.class_agnostic) request.set_class_agnostic(*settings.class_agnostic);
  if (settings.slice) ToProto(*settings.slice, request.mutable_slicing());
  request.set_omit_masks(!needs_masks || settings.mask_source == MaskSource::kSam);
  request.add_mask_formats(duet::vision::v1::MASK_FORMAT_ROW_RUNS);
  return request;
}

void TakeWeak(const Settings& settings, std::vector<Object>* objects) {
  const auto threshold = static_cast<float>(settings.score_threshold);
  auto end = std::find_if(objects->begin(), objects->end(), [threshold](const Object& object) {
    return !(object.score > threshold);
  });
  if (settings.max_detections && end - objects->begin() > *settings.max_detections) {
    end = objects->begin() + *settings.max_detections;
  }
  objects->erase(end, objects->end());
}

absl::StatusOr<std::vector<Object>> ToObjects(const detector::DetectResponse& response) {
  std::vector<Object> objects;
  for (const detector::Detection& detection : response.detections()) {
    auto object = ToObject(detection);
    if (!object.ok()) return object.status();
    objects.push_back(*std::move(object));
  }
  return objects;
}

segmenter::SegmentRequest ToSegmentRequest(const std::vector<vision::Box>& boxes) {
  segmenter::SegmentRequest request;
  request.add_formats(segmenter::MASK_FORMAT_ROW_RUNS);
  for (const vision::Box& box : boxes) ToProto(box, request.add_prompts()->mutable_box());
  return request;
}

segmenter::SegmentRequest ToSegmentRequest(const label_studio::InteractivePrompt& prompt,
                                           vision::Size size, int low_res_size) {
  const label_studio::InteractivePrompt scaled = label_studio::Rescale(prompt, size);
  segmenter::SegmentRequest request;
  request.add_formats(segmenter::MASK_FORMAT_ROW_RUNS);
  // One click is ambiguous (wheel or car?): of three masks the best is taken. More prompts say
  // enough.
  request.set_multimask_output(scaled.points.size() == 1 && !scaled.box && !scaled.mask);
  request.set_refine(true);
  segmenter::Prompt& added = *request.add_prompts();
  for (const label_studio::PromptPoint& from : scaled.points) {
    segmenter::Point& point = *added.add_points();
    point.set_x(from.at.x);
    point.set_y(from.at.y);
    point.set_label(from.positive ? 1 : 0);
  }
  if (scaled.box) ToProto(*scaled.box, added.mutable_box());
  if (scaled.mask) {
    const auto logits = label_studio::MaskPromptLogits(
        *scaled.mask, low_res_size > 0 ? low_res_size : kDefaultLowResSize);
    added.set_mask_logits(logits.data(), logits.size() * sizeof(float));
  }
  return request;
}

absl::StatusOr<std::vector<ScoredMask>> BestMasks(const segmenter::SegmentResponse& response,
                                                  std::size_t prompts) {
  if (static_cast<std::size_t>(response.results_size()) != prompts) {
    return absl::InternalError(text::StrCat("the segmenter sent results for ",
                                            response.results_size(), " of ", prompts, " prompts"));
  }
  std::vector<ScoredMask> masks;
  for (const segmenter::PromptResult& result : response.results()) {
    auto best = BestMask(result);
    if (!best.ok()) return best.status();
    masks.push_back(*std::move(best));
  }
  return masks;
}

}  // namespace prelabel
