#include "dataset/coco_writer.h"

#include <absl/container/flat_hash_set.h>
#include <absl/strings/numbers.h>

#include <cstdint>
#include <numbers>
#include <string_view>
#include <vector>

#include "label_studio/json_text.h"
#include "text/str_cat.h"
#include "vision/mask_rle.h"
#include "vision/mask_shapes.h"

namespace dataset {
namespace {

using label_studio::AppendJsonNumber;
using label_studio::AppendJsonString;
using text::StrAppend;

// The ids of the written images, one a sample.
std::vector<std::int64_t> ImageIds(const Dataset& dataset) {
  std::vector<std::int64_t> ids;
  absl::flat_hash_set<std::int64_t> seen;
  for (const Sample& sample : dataset.samples) {
    std::int64_t id = 0;
    if (!absl::SimpleAtoi(sample.id, &id) || id < 0 || !seen.insert(id).second) {
      for (std::size_t i = 0; i < dataset.samples.size(); ++i) {
        if (i < ids.size()) ids.resize(i);
        ids.push_back(static_cast<std::int64_t>(i) + 1);
      }
      return ids;
    }
    ids.push_back(id);
  }
  return ids;
}

void AppendList(const std::vector<double>& numbers, std::string* json) {
  char separator = '[';
  for (const double number : numbers) {
    json->push_back(separator);
    AppendJsonNumber(number, json);
    separator = ',';
  }
  json->push_back(']');
}

void AppendRings(const std::vector<vision::Polygon>& polygons, std::string* json) {
  char separator = '[';
  for (const vision::Polygon& polygon : polygons) {
    std::vector<double> coordinates;
    for (const vision::Point& point : polygon.outer) {
      coordinates.push_back(point.x);
      coordinates.push_back(point.y);
    }
    json->push_back(separator);
    AppendList(coordinates, json);
    separator = ',';
  }
  json->push_back(']');
}

void AppendSegmentation(const Object& object, const CocoWriteOptions& options,
                        std::string_view where, std::string* json, Findings* findings) {
  if (!object.mask && !object.rotated_box) {
    json->append("[]");
  } else if (!object.mask) {
    std::vector<double> coordinates;
    for (const vision::Point& corner : vision::Corners(*object.rotated_box)) {
      coordinates.push_back(corner.x);
      coordinates.push_back(corner.y);
    }
    json->push_back('[');
    AppendList(coordinates, json);
    json->push_back(']');
  } else if (options.masks == CocoMasks::kPolygons && !object.crowd) {
    const std::vector<vision::Polygon> polygons = vision::ToPolygons(*object.mask);
    for (const vision::Polygon& polygon : polygons) {
      if (!polygon.holes.empty()) findings->Add("masks whose holes were filled", where);
    }
    AppendRings(polygons, json);
  } else {
    const vision::Mask& mask = *object.mask;
    StrAppend(json, "{\"size\":[", mask.size.height, ",", mask.size.width, "],\"counts\":");
    AppendJsonString(vision::EncodeCocoRle(mask), json);
    json->push_back('}');
  }
}

void AppendAnnotation(const Object& object, std::int64_t id, std::int64_t image_id,
                      const CocoWriteOptions& options, std::string_view where, std::string* json,
                      Findings* findings) {
  StrAppend(json, "{\"id\":", id, ",\"image_id\":", image_id,
            ",\"category_id\":", object.class_index + 1, ",\"bbox\":");
  const vision::Box& box = object.box;
  AppendList({box.x_min, box.y_min, static_cast<double>(box.x_max) - box.x_min,
              static_cast<double>(box.y_max) - box.y_min},
             json);
  json->append(",\"area\":");
  AppendJsonNumber(object.area, json);
  StrAppend(json, ",\"iscrowd\":", object.crowd ? 1 : 0, object.ignore ? ",\"ignore\":1" : "",
            ",\"segmentation\":");
  AppendSegmentation(object, options, where, json, findings);
  if (const auto& turned = object.rotated_box) {
    json->append(",\"rotated_box\":");
    AppendList({turned->center.x, turned->center.y, turned->width, turned->height,
                turned->angle * 180 / std::numbers::pi},
               json);
  }
  json->push_back('}');
}

}  // namespace

std::string WriteCoco(const Dataset& dataset, const CocoWriteOptions& options, Findings* findings) {
  const std::vector<std::int64_t> ids = ImageIds(dataset);
  std::string images;
  std::string annotations;
  std::int64_t annotation_id = 0;
  for (std::size_t i = 0; i < dataset.samples.size(); ++i) {
    const Sample& sample = dataset.samples[i];
    const std::string where = text::StrCat("'", sample.image, "'");
    if (sample.size.width <= 0 || sample.size.height <= 0) {
      findings->Add("images whose size is unknown, left out", where);
      continue;
    }
    StrAppend(&images, images.empty() ? "" : ",\n", "{\"id\":", ids[i], ",\"file_name\":");
    AppendJsonString(sample.image, &images);
    StrAppend(&images, ",\"width\":", sample.size.width, ",\"height\":", sample.size.height, "}");
    for (const Object& object : sample.objects) {
      if (!annotations.empty()) annotations.append(",\n");
      AppendAnnotation(object, ++annotation_id, ids[i], options, where, &annotations, findings);
    }
  }
  std::string json = "{\"info\":{\"description\":\"written by Duet\"},\n\"images\":[\n";
  StrAppend(&json, images, "],\n\"categories\":[\n");
  for (std::size_t i = 0; i < dataset.classes.size(); ++i) {
    StrAppend(&json, i == 0 ? "" : ",\n", "{\"id\":", i + 1, ",\"name\":");
    AppendJsonString(dataset.classes[i], &json);
    json.append(",\"supercategory\":\"\"}");
  }
  StrAppend(&json, "],\n\"annotations\":[\n", annotations, "]}\n");
  return json;
}

}  // namespace dataset
