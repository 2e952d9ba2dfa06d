#include "dataset/yolo_writer.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <vector>

#include "dataset/object_corners.h"
#include "label_studio/json_text.h"
#include "text/str_cat.h"
#include "vision/mask_shapes.h"

namespace dataset {
namespace {

using text::StrAppend;

void AppendNumber(double value, std::string* line) { absl::StrAppendFormat(line, " %.6g", value); }

void AppendPoints(const std::vector<vision::Point>& points, vision::Size size, std::string* line) {
  for (const vision::Point& point : points) {
    AppendNumber(std::clamp(point.x / static_cast<double>(size.width), 0.0, 1.0), line);
    AppendNumber(std::clamp(point.y / static_cast<double>(size.height), 0.0, 1.0), line);
  }
}

std::vector<vision::Point> OutlineOf(const Object& object, std::string_view where,
                                     Findings* findings) {
  if (!object.mask) return CornersOf(object);
  const std::vector<vision::Polygon> parts =
      vision::ToPolygons(*object.mask, {.tolerance_px = 0.5});
  const auto largest = std::max_element(
      parts.begin(), parts.end(),
      [](const auto& a, const auto& b) { return a.outer_area_px < b.outer_area_px; });
  if (largest == parts.end()) return CornersOf(object);
  if (parts.size() > 1) {
    findings->Add("masks of several parts, of which the largest one was written", where);
  }
  if (!largest->holes.empty()) findings->Add("masks whose holes were filled", where);
  return largest->outer;
}

}  // namespace

void AppendYoloLine(const Object& object, vision::Size size, YoloShape shape,
                    std::string_view where, std::string* text, Findings* findings) {
  StrAppend(text, object.class_index);
  if (shape == YoloShape::kOutline) {
    AppendPoints(OutlineOf(object, where, findings), size, text);
  } else if (object.rotated_box) {
    AppendPoints(CornersOf(object), size, text);
  } else {
    const vision::Box& box = object.box;
    AppendNumber((double{box.x_min} + box.x_max) / 2 / size.width, text);
    AppendNumber((double{box.y_min} + box.y_max) / 2 / size.height, text);
    AppendNumber((double{box.x_max} - box.x_min) / size.width, text);
    AppendNumber((double{box.y_max} - box.y_min) / size.height, text);
  }
  text->push_back('\n');
}

std::string YoloDataYaml(absl::Span<const std::string> classes) {
  // ultralytics wants to know where the images are, whose labels it looks for in `labels` then. To
  // train, put them there, and some of them into a folder of their own for `val`.
  std::string yaml = "train: images\nval: images\nnames:\n";
  for (std::size_t i = 0; i < classes.size(); ++i) {
    StrAppend(&yaml, "  ", i, ": ");
    label_studio::AppendJsonString(classes[i], &yaml);  // YAML takes it
    yaml.push_back('\n');
  }
  return yaml;
}

}  // namespace dataset
