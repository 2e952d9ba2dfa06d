// Writes YOLO's annotations as ultralytics reads them: a text an image, a line an object, which is
// the number of its class and numbers in shares of the image's width and height.
#ifndef DUET_DATASET_YOLO_WRITER_H_
#define DUET_DATASET_YOLO_WRITER_H_

#include <absl/types/span.h>

#include <string>
#include <string_view>

#include "dataset/findings.h"
#include "dataset/sample.h"
#include "vision/geometry.h"

namespace dataset {

enum class YoloShape {
  // Centre and size; of a turned box its four corners.
  kBox,
  // The outline of the mask's largest part, since a line has room for one, with its holes filled;
  // without a mask the corners of the box. All lines of a dataset have to be of one shape.
  kOutline,
};

// Appends the object's line. `size` is the image's; `where` names the image in `findings`.
void AppendYoloLine(const Object& object, vision::Size size, YoloShape shape,
                    std::string_view where, std::string* text, Findings* findings);

// data.yaml: the names of the classes, and that the images lie in `images`.
std::string YoloDataYaml(absl::Span<const std::string> classes);

}  // namespace dataset

#endif  // DUET_DATASET_YOLO_WRITER_H_
