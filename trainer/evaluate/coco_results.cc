#include "trainer/evaluate/coco_results.h"

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/strings/numbers.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "dataset/json_elements.h"
#include "text/str_cat.h"
#include "vision/mask_rle.h"

namespace trainer {
namespace {

namespace json = boost::json;
using dataset::IdField;
using text::StrCat;

// A category's class index by its id; -1: not wanted.
absl::StatusOr<absl::flat_hash_map<std::string, int>> ClassesOfCategories(
    std::string_view annotations, const std::vector<std::string>& classes) {
  absl::flat_hash_map<std::string, int> result;
  absl::Status status =
      dataset::ReadJsonElements(annotations, [&](const dataset::JsonElement& element) {
        const json::object* const category = element.value.if_object();
        if (element.field != "categories" || category == nullptr) return absl::OkStatus();
        const json::value* const name = category->if_contains("name");
        if (name == nullptr || !name->is_string()) return absl::OkStatus();
        const auto at =
            std::find(classes.begin(), classes.end(), std::string_view(name->get_string()));
        result[IdField(*category, "id")] =
            at == classes.end() ? -1 : static_cast<int>(at - classes.begin());
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return result;
}

// x, y, width, height
std::optional<vision::Box> ReadBox(const json::value& value) {
  const json::array* const list = value.if_array();
  if (list == nullptr || list->size() != 4) return std::nullopt;
  std::array<double, 4> numbers;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (!(*list)[i].is_number()) return std::nullopt;
    numbers[i] = (*list)[i].to_number<double>();
    if (!std::isfinite(numbers[i])) return std::nullopt;
  }
  const auto [x, y, width, height] = numbers;
  return vision::Box{static_cast<float>(x), static_cast<float>(y), static_cast<float>(x + width),
                     static_cast<float>(y + height)};
}

absl::StatusOr<vision::Mask> ReadMask(const json::value& value, vision::Size size) {
  const json::object* const code = value.if_object();
  const json::value* const counts = code == nullptr ? nullptr : code->if_contains("counts");
  if (counts == nullptr || !counts->is_string())
    return absl::InvalidArgumentError("'segmentation' needs compressed run lengths, a text");
  if (const json::value* const stated = code->if_contains("size");
      stated == nullptr || *stated != json::value{size.height, size.width}) {
    return absl::InvalidArgumentError(
        StrCat("'segmentation' needs the size [", size.height, ",", size.width, "]"));
  }
  absl::StatusOr<vision::Mask> mask =
      vision::DecodeCocoRle(size, std::string_view(counts->get_string()));
  if (!mask.ok())
    return absl::InvalidArgumentError(StrCat("'segmentation': ", mask.status().message()));
  return mask;
}

// Without its class. `size`: of the image.
absl::StatusOr<Detection> ReadDetection(const json::object& object, vision::Size size) {
  Detection detection;
  const std::optional<double> score = dataset::NumberField(object, "score");
  if (!score) return absl::InvalidArgumentError("'score' must be a number");
  detection.score = static_cast<float>(*score);
  const json::value* const box = object.if_contains("bbox");
  const json::value* const mask = object.if_contains("segmentation");
  if (box == nullptr && mask == nullptr)
    return absl::InvalidArgumentError("needs 'bbox' or 'segmentation'");
  if (mask != nullptr) {
    absl::StatusOr<vision::Mask> read = ReadMask(*mask, size);
    if (!read.ok()) return read.status();
    detection.mask = *std::move(read);
    detection.box = vision::TightBox(*detection.mask);
  }
  if (box != nullptr) {
    const std::optional<vision::Box> read = ReadBox(*box);
    if (!read) return absl::InvalidArgumentError("'bbox' must be four numbers");
    detection.box = *read;
  }
  return detection;
}

// As IdField reads it.
json::value IdValue(const std::string& id) {
  std::int64_t number = 0;
  if (absl::SimpleAtoi(id, &number)) return number;
  return json::string(id);
}

// In double, in which the sum of both gives the very corner again.
json::array CornerAndSize(const vision::Box& box) {
  return {box.x_min, box.y_min, double{box.x_max} - box.x_min, double{box.y_max} - box.y_min};
}

}  // namespace

absl::StatusOr<DetectionsByImage> ReadCocoResults(std::string_view results,
                                                  std::string_view annotations,
                                                  const dataset::Dataset& truth) {
  const auto classes = ClassesOfCategories(annotations, truth.classes);
  if (!classes.ok()) return classes.status();
  absl::flat_hash_map<std::string, std::size_t> images;
  for (std::size_t i = 0; i < truth.samples.size(); ++i) images.emplace(truth.samples[i].id, i);

  DetectionsByImage detections(truth.samples.size());
  std::size_t count = 0;
  absl::Status status =
      dataset::ReadJsonElements(results, [&](const dataset::JsonElement& element) {
        const json::object* const object = element.value.if_object();
        if (!element.of_list || !element.field.empty() || object == nullptr) {
          return absl::InvalidArgumentError(
              "is not COCO's results format, a list of objects with image_id, category_id, score "
              "and bbox or segmentation");
        }
        const auto wrong = [&](std::string_view what) {
          return absl::InvalidArgumentError(StrCat("detection ", count, " of the list: ", what));
        };
        const std::string image_id = IdField(*object, "image_id");
        const auto image = images.find(image_id);
        if (image == images.end())
          return wrong(StrCat("the annotations have no image '", image_id, "'"));
        const std::string category_id = IdField(*object, "category_id");
        const auto class_index = classes->find(category_id);
        if (class_index == classes->end())
          return wrong(StrCat("the annotations have no category '", category_id, "'"));
        absl::StatusOr<Detection> detection =
            ReadDetection(*object, truth.samples[image->second].size);
        if (!detection.ok()) return wrong(StrCat(detection.status().message()));
        ++count;
        if (class_index->second < 0) return absl::OkStatus();
        detection->class_index = class_index->second;
        detections[image->second].push_back(*std::move(detection));
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return detections;
}

absl::StatusOr<std::string> WriteCocoResults(const DetectionsByImage& detections,
                                             std::string_view annotations,
                                             const dataset::Dataset& truth) {
  const auto classes = ClassesOfCategories(annotations, truth.classes);
  if (!classes.ok()) return classes.status();
  std::vector<std::string> categories(truth.classes.size());
  for (const auto& [id, class_index] : *classes) {
    if (class_index >= 0) categories[static_cast<std::size_t>(class_index)] = id;
  }
  for (std::size_t c = 0; c < categories.size(); ++c) {
    if (categories[c].empty()) {
      return absl::InvalidArgumentError(
          StrCat("has no category '", truth.classes[c], "', as COCO's annotations have"));
    }
  }
  json::array results;
  for (std::size_t image = 0; image < detections.size(); ++image) {
    for (const Detection& detection : detections[image]) {
      json::object result{
          {"image_id", IdValue(truth.samples[image].id)},
          {"category_id", IdValue(categories[static_cast<std::size_t>(detection.class_index)])},
          {"score", detection.score},
          {"bbox", CornerAndSize(detection.box)}};
      if (const auto& mask = detection.mask) {
        result["segmentation"] = {{"size", {mask->size.height, mask->size.width}},
                                  {"counts", vision::EncodeCocoRle(*mask)}};
      }
      results.push_back(std::move(result));
    }
  }
  return json::serialize(results);
}

}  // namespace trainer
