// What a project may choose about its pre-labels: from a profile, refined by the `extra_params` of
// /setup.
//
// Keys are the same in both places:
//   score_threshold: number in [0, 1]; detections with a higher score are emitted
//   max_detections: whole number, at least 1; the best ones of an image
//   class_agnostic: true or false; whether a box also drops weaker ones of other classes
//   outputs: text such as "rectangle,brush", or a list; "auto": what the label config suggests
//   label_map: object, class of the model → label of the config
//   mask_source: "auto" or "sam" (MaskSource)
//   degrade: "none" or "boxes" (Degrade)
//   background: "none" or "push" (Background)
//   score: "mean" or "uncertainty" (Score)
//   slice: false; a whole number: the side of tiles; or an object (Slicing)
#ifndef DUET_PRELABEL_SETTINGS_H_
#define DUET_PRELABEL_SETTINGS_H_

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include <boost/json/object.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prelabel {

// Which masks a batch's regions are made of.
enum class MaskSource {
  kAuto,  // the detector's own ones if it has any, else the segmenter's
  kSam,   // always the segmenter's
};

// What becomes of a task whose masks the segmenter can't make because it is away.
enum class Degrade {
  kNone,   // it fails
  kBoxes,  // it is answered with boxes alone
};

// What becomes of a batch's tasks that aren't done by its deadline.
enum class Background {
  kNone,  // Label Studio has to ask again
  kPush,  // they are finished in the background and stored through Label Studio's API
};

// What a prediction's score says.
enum class Score {
  kMean,         // the mean of its regions' scores
  kUncertainty,  // how little is learned from annotating the task (curation/informativeness.h)
};

// What becomes of detections of one object in several tiles (vision/merge_boxes.h).
enum class SliceJoin { kAuto, kNms, kNmm, kGreedyNmm };
enum class SliceMetric { kIou, kIos };

// Large images in overlapping tiles, as DetectRequest.slicing. As an object: {"tile": 1024,
// "overlap": 0.2, "join": "greedy_nmm", "metric": "ios", "threshold": 0.5, "whole_image": true}, of
// which all but "tile" may be left out.
struct Slicing {
  int tile = 0;                       // side, pixels of the image
  double overlap = 0.2;               // share of the side
  SliceJoin join = SliceJoin::kAuto;  // greedy_nmm; nms for rotated boxes
  SliceMetric metric = SliceMetric::kIos;
  double threshold = 0.5;
  bool whole_image = true;  // is looked at as well
  friend bool operator==(const Slicing&, const Slicing&) = default;
};

// As the keys' values are written.
std::string_view NameOf(MaskSource source);
std::string_view NameOf(Degrade degrade);
std::string_view NameOf(Background background);
std::string_view NameOf(Score score);
// All that it says, in one line: equal texts for equal answers.
std::string Describe(const Slicing& slicing);

// For serving::FlagTable: a flag takes and shows the same texts as the key.
bool AbslParseFlag(absl::string_view text, Background* background, std::string* error);
std::string AbslUnparseFlag(Background background);

struct Settings {
  double score_threshold = 0.5;  // the checkpoints' own 0.001 is for evaluation
  std::optional<int> max_detections;
  std::optional<bool> class_agnostic;  // absent: as the checkpoint has it
  std::string outputs = "auto";
  std::map<std::string, std::string> label_map;
  MaskSource mask_source = MaskSource::kAuto;
  Degrade degrade = Degrade::kNone;
  Background background = Background::kNone;
  Score score = Score::kMean;
  std::optional<Slicing> slice;

  friend bool operator==(const Settings&, const Settings&) = default;
};

// `base` with what `json` says instead. Unknown keys are an error if `strict` (a profile), else
// ignored (users keep other things in extra_params, too). InvalidArgument names the key, what was
// found and what is needed.
absl::StatusOr<Settings> Refine(const Settings& base, const boost::json::object& json, bool strict);

// The fields of `json` whose keys the list above names.
boost::json::object KnownKeys(const boost::json::object& json);

// A sentence for each key, up to five, that the list above doesn't name but almost does.
std::vector<std::string> Misspelt(const boost::json::object& json);

// Bytes that they take, about.
std::size_t BytesOf(const Settings& settings);

// 8 hex digits, equal for settings that give equal answers, in every process: `background` doesn't
// count.
std::string Fingerprint(const Settings& settings);

// 8 hex digits of a text, the same in every process. Not for secrets.
std::string ShortHash(std::string_view text);

}  // namespace prelabel

#endif  // DUET_PRELABEL_SETTINGS_H_
