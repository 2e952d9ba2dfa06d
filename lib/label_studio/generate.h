// Makes a label config from the model's classes, for new projects: rectangles and brush masks for
// batches, smart rectangle and keypoint tools that prompt the segmenter.
#ifndef DUET_LABEL_STUDIO_GENERATE_H_
#define DUET_LABEL_STUDIO_GENERATE_H_

#include <string>
#include <vector>

namespace label_studio {

// XML for Label Studio's Labeling Interface; names are escaped. Label values are the class names as
// they are.
std::string GenerateLabelConfig(const std::vector<std::string>& class_names);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_GENERATE_H_
