// Reads COCO's instance annotations (docs/formats.md): the JSON of MMDetection's, pycocotools' and
// most other tools' data sets.
#ifndef DUET_DATASET_COCO_READER_H_
#define DUET_DATASET_COCO_READER_H_

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "dataset/findings.h"
#include "dataset/sample.h"

namespace dataset {

struct CocoReadOptions {
  // Which classes, in which order; annotations of others are left out. Empty: all of the file, by
  // their ids.
  std::vector<std::string> classes;
  // False saves the time and memory that masks take where only boxes are needed.
  bool masks = true;
  // Keeps boxes as the file has them, as pycocotools and MMDetection do: an evaluation counts an
  // object that lies outside of its image, or that has no width, among those that weren't found.
  // Otherwise boxes are clipped to their image, and those of which nothing remains are left out.
  bool boxes_as_written = false;
};

// Classes are in the order of the category ids, samples in the order of `images`, an image's
// objects in the order of `annotations`. Polygons become the masks that pycocotools makes of them.
//
// What can't be used is left out and counted in `findings`: images without a size or of an id that
// another has already, annotations of unknown images or categories, degenerate boxes and those
// outside of the image (counted as well where they are kept), masks that are damaged or empty
// (their box stays).
//
// InvalidArgument, saying what was found and what is needed, if `json` is no such file: no images,
// no categories, a category without a name, two of one name or id, a class of the options that the
// file lacks.
absl::StatusOr<Dataset> ReadCoco(std::string_view json, const CocoReadOptions& options,
                                 Findings* findings);

}  // namespace dataset

#endif  // DUET_DATASET_COCO_READER_H_
