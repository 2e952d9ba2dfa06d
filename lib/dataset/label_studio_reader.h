// Reads what people annotated in Label Studio: the files of its exports "JSON" and "JSON-MIN", and
// the answers of its API (docs/formats.md, docs/adr/0702-datasets.md).
//
// Of each task counts the newest annotation that is not cancelled, by `created_at`, as in
// label-studio-sdk's converter. Tasks without one are left out: nobody has looked at them, or they
// were skipped. An annotation without regions is a sample without objects. Predictions and drafts
// are never read.
#ifndef DUET_DATASET_LABEL_STUDIO_READER_H_
#define DUET_DATASET_LABEL_STUDIO_READER_H_

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "dataset/findings.h"
#include "dataset/sample.h"

namespace dataset {

struct LabelStudioReadOptions {
  // The project's label config, XML. "": there are no aliases, and it has to be guessed which field
  // of a task's data is the image, which fails if several may be.
  std::string label_config;
  // Which classes, in which order; regions of others are left out. Empty: those of the label config
  // in document order, then all other labels by name.
  std::vector<std::string> classes;
  // The class of regions that have no label; "": they are left out.
  std::string unlabeled_class;
  // A rectangle and a mask of the same label are one object if the IoU of their boxes is at least
  // this and no better pair has one of them. Above 1: never.
  double min_join_iou = 0.5;
};

// A sample an image: a task may have several. Classes are called by the label's alias if it has
// one, else by its value, as label-studio-sdk calls them. A region with several labels becomes one
// object a label. Rectangles have boxes, turned ones the box around them as well; brush strokes,
// polygons and ellipses have masks.
//
// What can't be used is left out and counted in `findings`. InvalidArgument, saying what was found
// and what is needed, if `json` is no such file or no task of it is annotated, if the image of a
// task can't be told, if no region has a
// label, or if the label config can't be read.
absl::StatusOr<Dataset> ReadLabelStudio(std::string_view json,
                                        const LabelStudioReadOptions& options, Findings* findings);

}  // namespace dataset

#endif  // DUET_DATASET_LABEL_STUDIO_READER_H_
