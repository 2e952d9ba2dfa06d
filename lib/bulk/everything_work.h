// Finds everything in an image, mask by mask, by the segmenter's automatic mask generator: without
// a detector, and so without classes.
#ifndef DUET_BULK_EVERYTHING_WORK_H_
#define DUET_BULK_EVERYTHING_WORK_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>

#include "backends/client.h"
#include "bulk/head.h"
#include "bulk/image_work.h"
#include "duet/segmenter/v1/segmenter.pb.h"

namespace bulk {

// The parameters of SamAutomaticMaskGenerator, by SegmentEverythingRequest's names, as a text that
// is the same for all ways to write the same ones. `json`: an object, {"points_per_side": 16}; ""
// stands for {}. InvalidArgument names what isn't one of them; their ranges are the segmenter's.
absl::StatusOr<std::string> CanonicalMaskGenerator(std::string_view json);

// What stands for the detector in the head of such a run: it has the class "object", and a version
// that tells these parameters from others. `mask_generator`: CanonicalMaskGenerator's.
std::shared_ptr<const backends::DetectorModel> EverythingModel(const std::string& mask_generator);

class EverythingWork final : public ImageWork {
 public:
  // Both outlive it. REQUIRES: head.mask_generator is CanonicalMaskGenerator's.
  EverythingWork(const Head& head, backends::SegmenterClient& segmenter);

  // Objects have the IoU that the model predicts for them as their score, 0 to 1, and their
  // stability as the mask's. Masks without a pixel are none.
  boost::asio::awaitable<absl::StatusOr<duet::bulk::v1::Record>> Do(
      backends::ImageRef image) override;
  bool ServicesWork() const override { return segmenter_.health().reachable; }
  // InvalidArgument if the segmenter has refused the parameters.
  absl::Status Check() const override;

 private:
  const Head& head_;
  backends::SegmenterClient& segmenter_;
  duet::segmenter::v1::SegmentEverythingRequest request_;
  absl::Status refused_;  // why it has
};

}  // namespace bulk

#endif  // DUET_BULK_EVERYTHING_WORK_H_
