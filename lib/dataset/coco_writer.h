// Writes COCO's instance annotations, as pycocotools and MMDetection read them (docs/formats.md).
#ifndef DUET_DATASET_COCO_WRITER_H_
#define DUET_DATASET_COCO_WRITER_H_

#include <string>

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

}  // namespace dataset

#endif  // DUET_DATASET_COCO_WRITER_H_
