#include "bulk/prelabel_work.h"

#include <absl/time/time.h>

#include <chrono>
#include <utility>

#include "async/concurrency.h"
#include "prelabel/predictor.h"
#include "prelabel/translate.h"
#include "text/str_cat.h"
#include "vision/mask_rle.h"

namespace bulk {
namespace {

using boost::asio::awaitable;
using duet::bulk::v1::Object;
using duet::bulk::v1::Record;
using text::StrCat;

// Of one image, with its wait behind the others in flight. In tiles an image may take minutes.
constexpr absl::Duration kCallTimeout = absl::Minutes(5);
constexpr absl::Duration kSlicedCallTimeout = absl::Hours(3);

}  // namespace

PrelabelWork::PrelabelWork(const Head& head, backends::DetectorClient& detector,
                           backends::SegmenterClient* segmenter, boost::asio::thread_pool& pool,
                           std::optional<ClassNames> masked_classes)
    : head_(head),
      detector_(detector),
      segmenter_(segmenter),
      pool_(pool),
      masked_classes_(std::move(masked_classes)) {
  const auto& classes = head.detector->classes;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    class_indices_.emplace(classes[i], static_cast<std::uint32_t>(i));
  }
}

bool PrelabelWork::ServicesWork() const {
  return detector_.health().reachable && (segmenter_ == nullptr || segmenter_->health().reachable);
}

absl::Status PrelabelWork::Check() const {
  absl::Status status;
  if (const auto now = detector_.model()) {
    status = CheckStillServes("the detector", head_.detector->version, now->version);
  }
  const auto now = segmenter_ == nullptr ? nullptr : segmenter_->model();
  if (status.ok() && now) {
    status = CheckStillServes("the segmenter", head_.segmenter->version, now->version);
  }
  return status;
}

awaitable<absl::Status> PrelabelWork::Segment(backends::ImageRef image, backends::CallOptions call,
                                              std::vector<label_studio::Object>* objects) {
  std::vector<label_studio::Object> masked;
  std::vector<std::size_t> places;  // of these in `objects`
  for (std::size_t i = 0; i < objects->size(); ++i) {
    const label_studio::Object& object = (*objects)[i];
    if (masked_classes_ && !masked_classes_->contains(object.class_name)) continue;
    masked.push_back(object);
    places.push_back(i);
  }
  if (masked.empty()) co_return absl::OkStatus();
  call.model = head_.segmenter->served_as;
  call.version = head_.segmenter->version;
  auto embedding = segmenter_->Embed(image, call);
  const auto embedded = co_await std::move(embedding);
  if (!embedded.ok()) co_return embedded.status();
  auto adding = prelabel::AddMasks(*segmenter_, std::move(image), std::move(call), &masked);
  absl::Status status = co_await std::move(adding);
  if (!status.ok()) co_return status;
  for (std::size_t i = 0; i < places.size(); ++i) (*objects)[places[i]] = std::move(masked[i]);
  co_return absl::OkStatus();
}

awaitable<absl::StatusOr<prelabel::ImageObjects>> PrelabelWork::Find(backends::ImageRef image) {
  backends::CallOptions call{
      .deadline = std::chrono::system_clock::now() +
                  absl::ToChronoSeconds(head_.settings.slice ? kSlicedCallTimeout : kCallTimeout),
      .priority = serving::Priority::kBatch,
      .model = head_.detector->served_as,
      .version = head_.detector->version};
  auto detecting = prelabel::DetectObjects(
      detector_, image, prelabel::ToDetectRequest(head_.settings, head_.masks != MaskMaker::kNone),
      call);
  auto found = co_await std::move(detecting);
  if (found.ok() && head_.masks == MaskMaker::kSegmenter) {
    auto segmenting = Segment(std::move(image), std::move(call), &found->objects);
    if (absl::Status status = co_await std::move(segmenting); !status.ok()) found = status;
  }
  co_return found;
}

absl::StatusOr<Record> PrelabelWork::ToRecord(const prelabel::ImageObjects& found) const {
  Record record;
  auto& written = *record.mutable_found();
  written.set_width(static_cast<std::uint32_t>(found.size.width));
  written.set_height(static_cast<std::uint32_t>(found.size.height));
  for (const label_studio::Object& object : found.objects) {
    const auto index = class_indices_.find(object.class_name);
    if (index == class_indices_.end()) {
      return absl::InternalError(
          StrCat("the detector sent the class '", object.class_name, "', which it doesn't have"));
    }
    Object& added = *written.add_objects();
    added.set_class_index(index->second);
    added.set_score(object.score);
    for (const float at :
         {object.box.x_min, object.box.y_min, object.box.x_max, object.box.y_max}) {
      added.add_box(at);
    }
    if (const auto& box = object.rotated_box) {
      for (const float at : {box->center.x, box->center.y, box->width, box->height, box->angle}) {
        added.add_rotated_box(at);
      }
    }
    if (object.mask) {
      if (object.mask->size != found.size) {
        return absl::InternalError(StrCat("a mask of ", object.mask->size.width, " x ",
                                          object.mask->size.height, " pixels came for an image of ",
                                          found.size.width, " x ", found.size.height));
      }
      added.set_mask(vision::EncodeCocoRle(*object.mask));
      added.set_mask_score(object.mask_score);
    }
  }
  return record;
}

awaitable<absl::StatusOr<Record>> PrelabelWork::Do(backends::ImageRef image) {
  auto finding = Find(std::move(image));
  const absl::StatusOr<prelabel::ImageObjects> found = co_await std::move(finding);
  if (!found.ok()) co_return found.status();
  // Masks take some time to encode.
  auto encoding = async::OnPool(pool_, [this, &found] { return ToRecord(*found); });
  co_return co_await std::move(encoding);
}

}  // namespace bulk
