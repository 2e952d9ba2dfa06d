#include "trainer/run/data_flags.h"

#include <string>

namespace trainer {

void AddDataFlags(DataOptions* data, std::string_view classes_help, serving::FlagTable* flags) {
  flags->Required("data", &data->data,
                  "The annotations: COCO, or Label Studio's export (JSON, JSON-MIN), or what its "
                  "API says of tasks.");
  flags->Required("images", &data->images,
                  "The folder that the images lie in. They are found by their path or their name.");
  flags->Add(
      "label_config", &data->label_config,
      "Of the Label Studio project, XML: for aliases, the order of the classes, and which of "
      "them a detector to begin from knows by another name.");
  flags->Add("classes", &data->classes, classes_help);
  flags->Add(
      "validation", &data->validation,
      "A second file of annotations, whose images the model is measured with; empty: a share "
      "of --data is.");
  flags->Add("validation_images", &data->validation_images,
             "The folder that the images of --validation lie in; empty: that of --images.");
  flags->Add("val_share", &data->val_share,
             "Which share of the images the model is measured with, class by class. Images that "
             "have been in --out keep their side.",
             [](const double& share) -> std::string {
               return share >= 0 && share < 1 ? "" : "must be from 0 to less than 1";
             });
}

}  // namespace trainer
