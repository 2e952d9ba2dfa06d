// From the results of a Label Studio annotation to the objects of an image, each with the id of its
// region; label_studio_reader makes samples of them.
//
// A *result* is an entry of an annotation's list. A *region* is what an annotator drew: the results
// of one id, such as a <Rectangle> and its <Labels>. An *object* is a thing on the image: a region,
// or a rectangle and the masks that were drawn of the same thing (docs/adr/0702-datasets.md).
#ifndef DUET_DATASET_LABEL_STUDIO_REGIONS_H_
#define DUET_DATASET_LABEL_STUDIO_REGIONS_H_

#include <absl/functional/function_ref.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/findings.h"
#include "vision/geometry.h"
#include "vision/mask.h"
#include "vision/rotated_box.h"

namespace dataset {

struct Region {
  std::string to_name;  // the Image tag; "" if the export doesn't say
  int item_index = 0;   // which image of a list
  std::string id;
  std::string parent_id;            // of the region that it is listed under; "" if none
  std::vector<std::string> labels;  // as resolved, each once, sorted
  vision::Size size;                // of the image, as the editor measured it
  // What was drawn: a rectangle, which may be turned, or a mask.
  bool is_rectangle = false;
  vision::Box box;  // inside of the image, not empty
  std::optional<vision::RotatedBox> rotated_box;
  std::optional<vision::Mask> mask;
};

// The annotation that counts: the newest that is neither cancelled nor skipped. Null if there is
// none. Its "result" is a list.
const boost::json::object* NewestAnnotation(const boost::json::array& annotations);

// What a label in a result is called as a class. `from_name`: the control that it was chosen with.
using LabelNames =
    absl::FunctionRef<std::string(std::string_view from_name, std::string_view label)>;

struct Regions {
  std::vector<Region> regions;
  // Pairs of region ids, as a "relation" joins them.
  std::vector<std::pair<std::string, std::string>> relations;
};

// The regions of one annotation, in the order of their first results. What can't be used is left
// out and counted: keypoints, shapes of unknown kinds, damaged or empty ones. `where` names the
// annotation.
Regions ReadRegions(const boost::json::array& results, LabelNames names, std::string_view where,
                    Findings* findings);

// Joins what was drawn of one thing on one image: a rectangle takes the masks of the same labels
// that are listed under it or related to it; of the others the mask that overlaps it best, if their
// boxes' IoU is at least `min_iou` (above 1: never). The rectangle's box stays. All are of one
// image.
std::vector<Region> JoinRegions(Regions drawn, double min_iou);

}  // namespace dataset

#endif  // DUET_DATASET_LABEL_STUDIO_REGIONS_H_
