#include "bulk/everything_work.h"

#include <absl/time/time.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "prelabel/settings.h"
#include "text/str_cat.h"

namespace bulk {
namespace {

using boost::asio::awaitable;
using duet::bulk::v1::Object;
using duet::bulk::v1::Record;
using duet::segmenter::v1::GeneratedMask;
using duet::segmenter::v1::SegmentEverythingRequest;
using text::StrCat;

// Of one image, with its wait behind the others in flight: a thousand points and more are decoded.
constexpr absl::Duration kCallTimeout = absl::Hours(1);

absl::StatusOr<SegmentEverythingRequest> Parse(std::string_view json) {
  SegmentEverythingRequest request;
  const auto refuse = [&](std::string_view why) {
    return absl::InvalidArgumentError(
        StrCat(json, ": ", why, "; needed: a JSON object with parameters of ",
               "SamAutomaticMaskGenerator, as {\"points_per_side\": 16}"));
  };
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &request);
  if (!parsed.ok()) return refuse(std::string(parsed.message()));
  if (request.source_case() != SegmentEverythingRequest::SOURCE_NOT_SET ||
      request.formats_size() > 0 || request.has_polygon_tolerance_px() || request.has_model()) {
    return refuse("the run itself sets the image, formats, polygon_tolerance_px and the model");
  }
  return request;
}

absl::Status AddObject(const GeneratedMask& generated, duet::bulk::v1::Found* found) {
  const auto& mask = generated.mask();
  if (!mask.has_box()) return absl::OkStatus();
  if (mask.rle().width() != found->width() || mask.rle().height() != found->height()) {
    return absl::InternalError(StrCat("a mask of ", mask.rle().width(), " x ", mask.rle().height(),
                                      " pixels came for an image of ", found->width(), " x ",
                                      found->height()));
  }
  Object& object = *found->add_objects();
  object.set_score(std::clamp(mask.iou_score(), 0.0F, 1.0F));
  for (const float at :
       {mask.box().x_min(), mask.box().y_min(), mask.box().x_max(), mask.box().y_max()}) {
    object.add_box(at);
  }
  object.set_mask(mask.rle().counts());
  object.set_mask_score(mask.stability_score());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> CanonicalMaskGenerator(std::string_view json) {
  const absl::StatusOr<SegmentEverythingRequest> request = Parse(json.empty() ? "{}" : json);
  if (!request.ok()) return request.status();
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto printed = google::protobuf::util::MessageToJsonString(*request, &text, options);
  if (!printed.ok()) return absl::InternalError(std::string(printed.message()));
  return text;
}

std::shared_ptr<const backends::DetectorModel> EverythingModel(const std::string& mask_generator) {
  const std::string parameters =
      mask_generator == "{}" ? "" : "-" + prelabel::ShortHash(mask_generator);
  return std::make_shared<const backends::DetectorModel>(
      backends::DetectorModel{.name = "everything",
                              .version = "everything" + parameters,
                              .classes = {"object"},
                              .has_masks = true});
}

EverythingWork::EverythingWork(const Head& head, backends::SegmenterClient& segmenter)
    : head_(head), segmenter_(segmenter), request_(Parse(head.mask_generator).value()) {
  request_.add_formats(duet::segmenter::v1::MASK_FORMAT_COCO_RLE);
}

awaitable<absl::StatusOr<Record>> EverythingWork::Do(backends::ImageRef image) {
  const backends::CallOptions call{
      .deadline = std::chrono::system_clock::now() + absl::ToChronoSeconds(kCallTimeout),
      .priority = serving::Priority::kBatch,
      .model = head_.segmenter->served_as,
      .version = head_.segmenter->version};
  // It says how large the image is, which masks don't if there are none.
  auto embedding = segmenter_.Embed(image, call);
  const auto embedded = co_await std::move(embedding);
  if (!embedded.ok()) co_return embedded.status();
  auto generating = segmenter_.SegmentEverything(std::move(image), request_, call);
  auto masks = co_await std::move(generating);
  if (absl::IsInvalidArgument(masks.status())) {
    // It has taken the image.
    refused_ = masks.status();
    co_return absl::AbortedError(refused_.message());
  }
  if (!masks.ok()) co_return masks.status();
  std::stable_sort(masks->begin(), masks->end(),
                   [](const GeneratedMask& a, const GeneratedMask& b) {
                     return a.mask().iou_score() > b.mask().iou_score();
                   });
  Record record;
  record.mutable_found()->set_width(embedded->width());
  record.mutable_found()->set_height(embedded->height());
  for (const GeneratedMask& mask : *masks) {
    absl::Status added = AddObject(mask, record.mutable_found());
    if (!added.ok()) co_return added;
  }
  co_return record;
}

absl::Status EverythingWork::Check() const {
  if (!refused_.ok()) return refused_;
  const std::shared_ptr<const backends::SegmenterModel> now = segmenter_.model();
  if (now == nullptr) return absl::OkStatus();
  return CheckStillServes("the segmenter", head_.segmenter->version, now->version);
}

}  // namespace bulk
