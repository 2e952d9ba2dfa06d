#include "dataset/coco_writer.h"

#include <absl/container/flat_hash_set.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include <cstdint>
#include <numbers>
#include <string_view>
#include <vector>

#include "label_studio/json_text.h"
#include "text/str_cat.h"
#include "text/utf8.h"
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

}  // namespace

void AppendJsonFileName(std::string_view name, std::string* json) {
  if (text::IsUtf8(name)) return AppendJsonString(name, json);
  std::string quoted;
  json->push_back('"');
  while (!name.empty()) {
    const std::size_t length = text::Utf8Length(name);
    if (length == 0) {
      absl::StrAppendFormat(json, "\\udc%02x", static_cast<unsigned char>(name.front()));
    } else {
      quoted.clear();
      AppendJsonString(name.substr(0, length), &quoted);
      json->append(quoted, 1, quoted.size() - 2);
    }
    name.remove_prefix(length == 0 ? 1 : length);
  }
  json->push_back('"');
}

void AppendCocoImage(std::int64_t id, std::string_view file_name, vision::Size size,
                     std::string* json) {
  StrAppend(json, "{\"id\":", id, ",\"file_name\":");
  AppendJsonFileName(file_name, json);
  StrAppend(json, ",\"width\":", size.width, ",\"height\":", size.height, "}");
}

void AppendCocoCategory(std::int64_t id, std::string_view name, std::string* json) {
  StrAppend(json, "{\"id\":", id, ",\"name\":");
  AppendJsonString(name, json);
  json->append(",\"supercategory\":\"\"}");
}

void AppendCocoAnnotation(const CocoAnnotation& annotation, const Object& object,
                          const CocoWriteOptions& options, std::string_view where,
                          std::string* json, Findings* findings) {
  StrAppend(json, "{\"id\":", annotation.id, ",\"image_id\":", annotation.image_id,
            ",\"category_id\":", annotation.category_id, ",\"bbox\":");
  const vision::Box& box = object.box;
  AppendList({box.x_min, box.y_min, static_cast<double>(box.x_max) - box.x_min,
              static_cast<double>(box.y_max) - box.y_min},
             json);
  json->append(",\"area\":");
  AppendJsonNumber(object.area, json);
  StrAppend(json, ",\"iscrowd\":", object.crowd ? 1 : 0, object.ignore ? ",\"ignore\":1" : "");
  if (annotation.score) {
    json->append(",\"score\":");
    AppendJsonNumber(*annotation.score, json);
  }
  json->append(",\"segmentation\":");
  AppendSegmentation(object, options, where, json, findings);
  if (const auto& turned = object.rotated_box) {
    json->append(",\"rotated_box\":");
    AppendList({turned->center.x, turned->center.y, turned->width, turned->height,
                turned->angle * 180 / std::numbers::pi},
               json);
  }
  json->push_back('}');
}

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
    if (!images.empty()) images.append(",\n");
    AppendCocoImage(ids[i], sample.image, sample.size, &images);
    for (const Object& object : sample.objects) {
      if (!annotations.empty()) annotations.append(",\n");
      AppendCocoAnnotation(
          {.id = ++annotation_id, .image_id = ids[i], .category_id = object.class_index + 1},
          object, options, where, &annotations, findings);
    }
  }
  std::string json = "{\"info\":{\"description\":\"written by Duet\"},\n\"images\":[\n";
  StrAppend(&json, images, "],\n\"categories\":[\n");
  for (std::size_t i = 0; i < dataset.classes.size(); ++i) {
    if (i > 0) json.append(",\n");
    AppendCocoCategory(static_cast<std::int64_t>(i) + 1, dataset.classes[i], &json);
  }
  StrAppend(&json, "],\n\"annotations\":[\n", annotations, "]}\n");
  return json;
}

}  // namespace dataset
