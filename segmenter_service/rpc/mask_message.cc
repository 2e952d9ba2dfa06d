#include "segmenter_service/rpc/mask_message.h"

#include <absl/strings/str_cat.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <opencv2/imgcodecs.hpp>
#include <string>

#include "model_service/mask_message.h"
#include "vision/mask_shapes.h"

// Bytes of mask_logits are float32 little-endian.
static_assert(std::endian::native == std::endian::little);

namespace segmenter {
namespace {

namespace pb = duet::segmenter::v1;

void WriteRing(const vision::Ring& ring, bool hole, pb::Mask* message) {
  duet::vision::v1::Polygon* polygon = message->add_polygons();
  polygon->set_hole(hole);
  for (const vision::Point& point : ring) {
    polygon->add_xy(point.x);
    polygon->add_xy(point.y);
  }
}

absl::Status WritePng(const vision::Mask& mask, pb::Mask* message) {
  std::vector<std::uint8_t> bytes;
  // A mask has two values: the run-length strategy is as small as the default one, and much faster.
  if (!cv::imencode(".png", vision::ToPixels(mask), bytes,
                    {cv::IMWRITE_PNG_STRATEGY, cv::IMWRITE_PNG_STRATEGY_RLE})) {
    return absl::InternalError("the mask could not be written as PNG");
  }
  message->set_png(bytes.data(), bytes.size());
  return absl::OkStatus();
}

}  // namespace

template <typename Request>
absl::StatusOr<MaskFormats> ReadFormats(const Request& request) {
  MaskFormats formats;
  formats.coco_rle = request.formats().empty();
  for (int i = 0; i < request.formats_size(); ++i) {
    switch (request.formats(i)) {
      case pb::MASK_FORMAT_COCO_RLE:
        formats.coco_rle = true;
        break;
      case pb::MASK_FORMAT_ROW_RUNS:
        formats.row_runs = true;
        break;
      case pb::MASK_FORMAT_POLYGONS:
        formats.polygons = true;
        break;
      case pb::MASK_FORMAT_PNG:
        formats.png = true;
        break;
      case pb::MASK_FORMAT_LOW_RES_LOGITS:
        formats.low_res_logits = true;
        break;
      default:
        return absl::InvalidArgumentError(absl::StrCat("formats[", i, "] is ", request.formats(i),
                                                       ", which is no format to ask for"));
    }
  }
  if (request.has_polygon_tolerance_px()) {
    formats.polygon_tolerance_px = request.polygon_tolerance_px();
    if (!(formats.polygon_tolerance_px >= 0) || !std::isfinite(formats.polygon_tolerance_px)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "polygon_tolerance_px is ", formats.polygon_tolerance_px, "; it must be 0 or more"));
    }
  }
  return formats;
}

template absl::StatusOr<MaskFormats> ReadFormats(const pb::SegmentRequest&);
template absl::StatusOr<MaskFormats> ReadFormats(const pb::SegmentEverythingRequest&);

absl::StatusOr<std::vector<Prompt>> ReadPrompts(const pb::SegmentRequest& request) {
  std::vector<Prompt> prompts;
  prompts.reserve(request.prompts_size());
  for (const pb::Prompt& message : request.prompts()) {
    Prompt& prompt = prompts.emplace_back();
    for (const pb::Point& point : message.points()) {
      prompt.points.push_back({{point.x(), point.y()}, point.label()});
    }
    if (message.has_box()) {
      prompt.box = vision::Box{message.box().x_min(), message.box().y_min(), message.box().x_max(),
                               message.box().y_max()};
    }
    if (message.has_mask_logits()) {
      const std::string& bytes = message.mask_logits();
      if (bytes.empty() || bytes.size() % sizeof(float) != 0) {
        return absl::InvalidArgumentError(absl::StrCat("prompts[", prompts.size() - 1,
                                                       "]: mask_logits has ", bytes.size(),
                                                       " bytes, which are no float32 values"));
      }
      prompt.mask_logits.resize(bytes.size() / sizeof(float));
      std::memcpy(prompt.mask_logits.data(), bytes.data(), bytes.size());
    }
  }
  return prompts;
}

absl::Status WriteMask(const vision::RenderedMask& rendered, absl::Span<const float> low_res_logits,
                       const MaskFormats& formats, pb::Mask* message) {
  const vision::Mask& mask = rendered.mask;
  message->set_stability_score(static_cast<float>(rendered.stability_score));
  message->set_area(static_cast<std::uint32_t>(vision::Area(mask)));
  if (!mask.spans.empty()) {
    const vision::Box box = vision::TightBox(mask);
    message->mutable_box()->set_x_min(box.x_min);
    message->mutable_box()->set_y_min(box.y_min);
    message->mutable_box()->set_x_max(box.x_max);
    message->mutable_box()->set_y_max(box.y_max);
  }
  if (formats.coco_rle) {
    model_service::WriteCocoRle(mask, message->mutable_rle());
  }
  if (formats.row_runs) {
    model_service::WriteRowRuns(mask, message->mutable_row_runs());
  }
  if (formats.polygons) {
    for (const vision::Polygon& polygon :
         vision::ToPolygons(mask, {.tolerance_px = formats.polygon_tolerance_px})) {
      WriteRing(polygon.outer, /*hole=*/false, message);
      for (const vision::Ring& hole : polygon.holes) WriteRing(hole, /*hole=*/true, message);
    }
  }
  if (formats.low_res_logits) {
    message->set_low_res_logits(low_res_logits.data(), low_res_logits.size() * sizeof(float));
  }
  return formats.png ? WritePng(mask, message) : absl::OkStatus();
}

}  // namespace segmenter
