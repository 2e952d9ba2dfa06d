// Writes samples as tasks that Label Studio imports: a JSON list, each task with an annotation or a
// prediction. Regions are those that Duet's predictions are made of (label_studio/result.h).
#ifndef DUET_DATASET_LABEL_STUDIO_WRITER_H_
#define DUET_DATASET_LABEL_STUDIO_WRITER_H_

#include <absl/status/statusor.h>

#include <string>

#include "dataset/findings.h"
#include "dataset/sample.h"
#include "label_studio/label_config.h"

namespace dataset {

struct LabelStudioWriteOptions {
  // The project's label config, XML, which says which regions there can be.
  std::string label_config;
  // Which kinds of region are written: "auto", or for example "rectangle,brush".
  std::string outputs = "auto";
  // True: as predictions, which people check; false: as annotations, which are final.
  bool predictions = false;
  // Of predictions.
  std::string model_version = "import";
  // Put before every image's path, which is percent-encoded then: "/data/local-files/?d=images/".
  // "": the image is written as it is.
  std::string image_prefix;
};

// What Label Studio can't hold is left out and counted: crowds, objects whose class has no label in
// the config, and of an object what none of its controls can hold, as a mask in a config of
// rectangles. InvalidArgument if the config can't be read, has more than one image, takes
// images or labels from the tasks, or its image is not one field of the task's data ("$image").
absl::StatusOr<std::string> WriteLabelStudioTasks(const Dataset& dataset,
                                                  const LabelStudioWriteOptions& options,
                                                  Findings* findings);

// The field of a task's data that holds the config's only image. InvalidArgument as above.
absl::StatusOr<std::string> DataField(const label_studio::LabelConfig& config);

}  // namespace dataset

#endif  // DUET_DATASET_LABEL_STUDIO_WRITER_H_
