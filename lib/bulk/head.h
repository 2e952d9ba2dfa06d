// The head of a run: what its results were made of. It is written before the first result, and a
// run that is resumed must have the same one.
#ifndef DUET_BULK_HEAD_H_
#define DUET_BULK_HEAD_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/client.h"
#include "bulk/listing.h"
#include "prelabel/profiles.h"
#include "prelabel/settings.h"

namespace bulk {

// Who makes the masks.
enum class MaskMaker { kNone, kDetector, kSegmenter };

struct Head {
  std::string source;   // as the command names it
  bool embeds = false;  // images are embedded; else what is in them is found
  Listing listing;
  // Null if the run has none.
  std::shared_ptr<const backends::DetectorModel> detector;
  std::shared_ptr<const backends::SegmenterModel> segmenter;
  MaskMaker masks = MaskMaker::kNone;
  prelabel::Settings settings;
  std::string label_config;  // XML; "": none
  // Of a run that finds everything: the parameters of the automatic mask generator, as
  // CanonicalMaskGenerator's. "": another run.
  std::string mask_generator;
  // Of a run that embeds, which has neither models nor settings: what its embeddings are kept
  // under. "": another run, or it isn't known yet.
  std::string encoder;

  prelabel::ServedModels models() const { return {detector, segmenter}; }
};

boost::json::object ToJson(const Listing& listing);
// Throws if the object isn't what ToJson makes.
Listing ListingFromJson(const boost::json::object& object);

std::string ToJson(const Head& head);
// DataLoss if the text is no head.
absl::StatusOr<Head> HeadFromJson(const std::string& text);

// What two heads differ in, as a message shows it.
struct Difference {
  std::string what;
  std::string found;
  std::string wanted;
};
// The first one between results that were made for `found` and such for `wanted`; nothing if they
// may stand beside each other. A model that is null in `wanted` isn't known yet and isn't compared,
// and without a detector the maker of masks isn't either.
std::optional<Difference> FirstDifference(const Head& found, const Head& wanted);

// FailedPrecondition if a service, "the detector", serves `now` instead of the model that a run was
// begun with.
absl::Status CheckStillServes(std::string_view service, const std::string& version,
                              const std::string& now);

// OK if results that were made for `wanted` may stand beside those of `found`, else
// FailedPrecondition with one sentence that names the first difference. `folder`: of the run, for
// the sentence.
absl::Status CheckSame(const Head& found, const Head& wanted, const std::string& folder);

}  // namespace bulk

#endif  // DUET_BULK_HEAD_H_
