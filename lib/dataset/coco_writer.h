// Writes COCO's instance annotations, as pycocotools and MMDetection read them (docs/formats.md).
#ifndef DUET_DATASET_COCO_WRITER_H_
#define DUET_DATASET_COCO_WRITER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataset/findings.h"
#include "dataset/sample.h"

namespace dataset {

enum class CocoMasks {
  kRle,       // compressed run lengths: the very pixels
  kPolygons,  // outlines along the pixels' edges, for tools that read no others; holes are filled
};

struct CocoWriteOptions {
  CocoMasks masks = CocoMasks::kRle;
};

// Categories are numbered from 1 in the order of the classes. Images keep their sample's id if all
// ids are different whole numbers, otherwise they are numbered from 1, too.
//
// COCO has no turned boxes: such an object gets the upright box around it, the corners of the
// turned one as its segmentation if it has no mask, and a field of our own, which other tools
// ignore:
// "rotated_box": [center x, center y, width, height, degrees clockwise].
//
// Samples without a size are left out and counted in `findings`.
std::string WriteCoco(const Dataset& dataset, const CocoWriteOptions& options, Findings* findings);

// The parts of such a file, for who writes one that is too large for memory. Each appends one
// element, without a comma.
//
// Of a name that isn't UTF-8, each wrong byte is written as Python's os.fsdecode and json do it,
// "\udcff": in Python it is the file's name again.
void AppendJsonFileName(std::string_view name, std::string* json);
void AppendCocoImage(std::int64_t id, std::string_view file_name, vision::Size size,
                     std::string* json);
void AppendCocoCategory(std::int64_t id, std::string_view name, std::string* json);
// An object of an image. `score`: a field that other tools take for a detection's, or ignore.
// `where` names the image in `findings`.
struct CocoAnnotation {
  std::int64_t id = 0;
  std::int64_t image_id = 0;
  std::int64_t category_id = 0;
  std::optional<float> score = std::nullopt;
};
void AppendCocoAnnotation(const CocoAnnotation& annotation, const Object& object,
                          const CocoWriteOptions& options, std::string_view where,
                          std::string* json, Findings* findings);

}  // namespace dataset

#endif  // DUET_DATASET_COCO_WRITER_H_
