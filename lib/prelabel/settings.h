// What a project may choose about its pre-labels: from a profile, refined by the `extra_params` of
// /setup.
//
// Keys are the same in both places:
//   score_threshold: number in [0, 1]; detections with a higher score are emitted
//   max_detections: whole number, at least 1; the best ones of a picture
//   outputs: text such as "rectangle,brush", or a list; "auto": what the label config suggests
//   label_map: object, class of the model → label of the config
//   mask_source: "auto", the detector's own masks if it has any; "sam", always the segmenter's
//   degrade: "none", or "boxes": boxes alone if the segmenter is away
//   background: "none", or "push": what a batch hasn't done by its deadline is finished in the
//     background and stored through Label Studio's API (background_jobs.h)
#ifndef DUET_PRELABEL_SETTINGS_H_
#define DUET_PRELABEL_SETTINGS_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace prelabel {

struct Settings {
  double score_threshold = 0.5;  // the checkpoints' own 0.001 is for evaluation
  std::optional<int> max_detections;
  std::string outputs = "auto";
  std::map<std::string, std::string> label_map;
  std::string mask_source = "auto";
  std::string degrade = "none";
  std::string background = "none";

  friend bool operator==(const Settings&, const Settings&) = default;
};

// `base` with what `json` says instead. Unknown keys are an error if `strict` (a profile), else
// ignored (Label Studio's users keep all sorts of things in extra_params). InvalidArgument names
// the key, what was found and what is needed.
absl::StatusOr<Settings> Refine(const Settings& base, const boost::json::object& json, bool strict);

// Those of `json` that the list above names.
boost::json::object KnownKeys(const boost::json::object& json);

// What they take in memory, about.
std::size_t BytesOf(const Settings& settings);

// 8 hex digits, equal for settings that give equal answers, in every process: `background` doesn't
// count.
std::string Fingerprint(const Settings& settings);

// 8 hex digits of a text, the same in every process. Not for secrets.
std::string ShortHash(std::string_view text);

}  // namespace prelabel

#endif  // DUET_PRELABEL_SETTINGS_H_
