// Reads annotations, whichever of the formats they are in.
#ifndef DUET_DATASET_ANNOTATIONS_READER_H_
#define DUET_DATASET_ANNOTATIONS_READER_H_

#include <absl/status/statusor.h>

#include <string_view>

#include "dataset/findings.h"
#include "dataset/label_studio_reader.h"
#include "dataset/sample.h"

namespace dataset {

// Whether the text is an object with "images", "annotations" or "categories".
bool IsCoco(std::string_view json);

// What IsCoco is read as COCO (coco_reader.h), of which `options` says the classes, with the boxes
// as they are written; all else as Label Studio's (label_studio_reader.h). Findings and errors are
// the reader's. InvalidArgument for COCO with options that only Label Studio's annotations have.
absl::StatusOr<Dataset> ReadAnnotations(std::string_view json,
                                        const LabelStudioReadOptions& options, Findings* findings);

}  // namespace dataset

#endif  // DUET_DATASET_ANNOTATIONS_READER_H_
