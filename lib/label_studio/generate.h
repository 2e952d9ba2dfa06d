// Makes a label config from the model's classes, for new projects: one list of labels beside the
// image, for boxes and brush masks, drawn or predicted, and for a smart box and a smart point that
// prompt the segmenter. docs/adr/0606-one-list-of-labels.md says why it looks so.
#ifndef DUET_LABEL_STUDIO_GENERATE_H_
#define DUET_LABEL_STUDIO_GENERATE_H_

#include <string>
#include <vector>

namespace label_studio {

// What the models behind the backend can do. A tool that nothing answers is left out.
struct GenerateOptions {
  bool masks = true;        // the segmenter's, or a detector's own
  bool smart_tools = true;  // there is a segmenter
};

// XML for Label Studio's Labeling Interface; names are escaped. Label values are the class names as
// they are. A name that comes twice gets one label, and exports number the labels as the model
// numbers its classes.
std::string GenerateLabelConfig(const std::vector<std::string>& class_names,
                                const GenerateOptions& options = {});

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_GENERATE_H_
