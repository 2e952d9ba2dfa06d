#include "gateway/endpoints/try_it_export.h"

#include <absl/container/flat_hash_map.h>
#include <absl/types/span.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataset/coco_writer.h"
#include "dataset/label_studio_writer.h"
#include "dataset/sample.h"
#include "dataset/yolo_writer.h"
#include "label_studio/generate.h"
#include "label_studio/json_fields.h"
#include "label_studio/json_parts.h"
#include "text/str_cat.h"
#include "text/utf8.h"
#include "vision/mask_rle.h"

namespace gateway::endpoints {
namespace {

namespace json = boost::json;
using label_studio::FiniteNumber;
using label_studio::JsonPart;
using label_studio::TextField;
using text::StrCat;

constexpr std::size_t kMaxName = 1000;
constexpr std::size_t kMaxLabels = 100'000;
constexpr std::size_t kMaxObjects = 10'000;
constexpr int kMaxSide = 1'000'000;
// Of a coordinate; the largest images have less than 2^30 pixels.
constexpr double kMaxNumber = 1e9;
// Of all masks together. A few run lengths may stand for millions of spans, one a row.
constexpr std::size_t kMaxSpans = vision::kMaxMaskSpans;

absl::Status Bad(std::string_view sentence) {
  return absl::InvalidArgumentError(text::View(sentence));
}

absl::StatusOr<dataset::Sample> ReadImage(const json::object& body) {
  const json::value* const value = body.if_contains("image");
  const json::object* const image = value == nullptr ? nullptr : value->if_object();
  if (image == nullptr) return Bad("'image' is no object; needed: its name, width and height");
  dataset::Sample sample;
  sample.id = "1";
  sample.image = std::string(TextField(*image, "name"));
  if (sample.image.empty() || sample.image.size() > kMaxName) {
    return Bad(
        StrCat("'image' has a name of ", sample.image.size(), " bytes; needed: 1 to ", kMaxName));
  }
  for (const auto& [field, side] :
       {std::pair{"width", &sample.size.width}, std::pair{"height", &sample.size.height}}) {
    const std::optional<double> number = FiniteNumber(image->if_contains(field));
    if (!number || *number < 1 || *number > kMaxSide || *number != std::floor(*number)) {
      return Bad(StrCat("'image' has no ", field, "; needed: pixels, 1 to ", kMaxSide));
    }
    *side = static_cast<int>(*number);
  }
  return sample;
}

absl::StatusOr<std::vector<std::string>> ReadLabels(const json::object& body) {
  const json::value* const value = body.if_contains("labels");
  const json::array* const list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr || list->size() > kMaxLabels) {
    return Bad(StrCat("'labels' is no list of at most ", kMaxLabels, " names"));
  }
  std::vector<std::string> labels;
  for (const json::value& element : *list) {
    const json::string* const label = element.if_string();
    if (label == nullptr || label->empty()) return Bad("'labels' has one that is no name");
    labels.emplace_back(*label);
  }
  return labels;
}

absl::StatusOr<std::vector<float>> ReadNumbers(const json::value& value, std::size_t count,
                                               std::string_view what) {
  const json::array* const list = value.if_array();
  std::vector<float> numbers;
  if (list != nullptr) {
    for (const json::value& element : *list) {
      const auto number = FiniteNumber(&element);
      if (number && std::abs(*number) <= kMaxNumber) numbers.push_back(static_cast<float>(*number));
    }
  }
  if (list == nullptr || list->size() != count || numbers.size() != count) {
    return Bad(StrCat(what, " is no list of ", count, " numbers"));
  }
  return numbers;
}

absl::StatusOr<vision::Mask> ReadMask(const json::value& value, vision::Size size) {
  const json::array* const list = value.if_array();
  if (list == nullptr) return Bad("its mask is no list of run lengths");
  std::vector<std::uint32_t> runs;
  for (const json::value& element : *list) {
    const auto run = FiniteNumber(&element);
    if (!run || *run < 0 || *run > UINT32_MAX || *run != std::floor(*run)) {
      return Bad("its mask has a run length that is no whole number");
    }
    runs.push_back(static_cast<std::uint32_t>(*run));
  }
  return vision::DecodeRowRuns(size, absl::MakeConstSpan(runs));
}

absl::StatusOr<dataset::Object> ReadObject(
    const json::value& value, vision::Size size,
    const absl::flat_hash_map<std::string, int>& numbers_of_labels) {
  const json::object* const object = value.if_object();
  if (object == nullptr) return Bad("it is no object");
  dataset::Object read;
  const std::string label(TextField(*object, "label"));
  const auto found = numbers_of_labels.find(label);
  if (found == numbers_of_labels.end()) {
    return Bad(StrCat("its label '", text::Utf8Prefix(label, 100), "' is none of 'labels'"));
  }
  read.class_index = found->second;
  if (const json::value* const mask = object->if_contains("mask")) {
    auto decoded = ReadMask(*mask, size);
    if (!decoded.ok()) return Bad(StrCat("its mask: ", decoded.status().message()));
    if (!decoded->spans.empty()) {
      read.box = vision::TightBox(*decoded);
      read.area = static_cast<double>(vision::Area(*decoded));
      read.mask = *std::move(decoded);
    }
  }
  if (const json::value* const box = object->if_contains("box")) {
    const auto numbers = ReadNumbers(*box, 4, "its box");
    if (!numbers.ok()) return numbers.status();
    const auto clamped = [](float edge, int side) {
      return std::clamp(edge, 0.0f, static_cast<float>(side));
    };
    read.box = {clamped((*numbers)[0], size.width), clamped((*numbers)[1], size.height),
                clamped((*numbers)[2], size.width), clamped((*numbers)[3], size.height)};
  }
  if (const json::value* const turned = object->if_contains("rotated_box")) {
    const auto numbers = ReadNumbers(*turned, 5, "its rotated box");
    if (!numbers.ok()) return numbers.status();
    if (!((*numbers)[2] > 0) || !((*numbers)[3] > 0)) return Bad("its rotated box has no area");
    read.rotated_box = vision::RotatedBox{.center = {(*numbers)[0], (*numbers)[1]},
                                          .width = (*numbers)[2],
                                          .height = (*numbers)[3],
                                          .angle = (*numbers)[4]};
  }
  if (!(read.box.width() > 0) || !(read.box.height() > 0)) {
    return Bad("it has neither a mask nor a box with an area");
  }
  if (read.area == 0) read.area = double{read.box.width()} * read.box.height();
  return read;
}

absl::StatusOr<dataset::Dataset> ReadDataset(const json::object& body) {
  dataset::Dataset dataset;
  auto labels = ReadLabels(body);
  if (!labels.ok()) return labels.status();
  absl::flat_hash_map<std::string, int> numbers;
  for (std::string& label : *labels) {
    if (numbers.try_emplace(label, static_cast<int>(dataset.classes.size())).second) {
      dataset.classes.push_back(std::move(label));
    }
  }
  auto sample = ReadImage(body);
  if (!sample.ok()) return sample.status();
  const json::value* const value = body.if_contains("objects");
  const json::array* const list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr || list->size() > kMaxObjects) {
    return Bad(StrCat("'objects' is no list of at most ", kMaxObjects, " objects"));
  }
  std::size_t spans = 0;
  for (std::size_t i = 0; i < list->size(); ++i) {
    auto object = ReadObject((*list)[i], sample->size, numbers);
    if (!object.ok()) return Bad(StrCat("objects[", i, "]: ", object.status().message()));
    spans += object->mask ? object->mask->spans.size() : 0;
    if (spans > kMaxSpans) {
      return Bad(StrCat("objects[", i, "]: with its mask, all masks have ", spans,
                        " parts of rows; at most ", kMaxSpans, " are written"));
    }
    sample->objects.push_back(*std::move(object));
  }
  dataset.samples.push_back(*std::move(sample));
  return dataset;
}

json::object File(std::string name, std::string_view text) {
  return {{"name", std::move(name)}, {"text", json::string_view(text.data(), text.size())}};
}

// "a.jpg" → "a".
std::string Stem(const std::string& name) {
  const std::string_view file = std::string_view(name).substr(name.rfind('/') + 1);
  const std::size_t dot = file.rfind('.');
  return std::string(dot == 0 ? file : file.substr(0, dot));
}

absl::StatusOr<json::array> Coco(const dataset::Dataset& dataset, dataset::Findings* findings) {
  return json::array{File(StrCat(Stem(dataset.samples[0].image), ".coco.json"),
                          dataset::WriteCoco(dataset, {}, findings))};
}

absl::StatusOr<json::array> LabelStudio(const dataset::Dataset& dataset,
                                        dataset::Findings* findings) {
  const std::string config = label_studio::GenerateLabelConfig(dataset.classes);
  const auto tasks = dataset::WriteLabelStudioTasks(dataset, {.label_config = config}, findings);
  if (!tasks.ok()) return tasks.status();
  return json::array{File(StrCat(Stem(dataset.samples[0].image), ".tasks.json"), *tasks),
                     File("label_config.xml", config)};
}

absl::StatusOr<json::array> Yolo(const dataset::Dataset& dataset, dataset::Findings* findings) {
  const dataset::Sample& sample = dataset.samples[0];
  const bool outlines = std::any_of(sample.objects.begin(), sample.objects.end(),
                                    [](const auto& object) { return object.mask.has_value(); });
  const std::string where = StrCat("'", sample.image, "'");
  std::string lines;
  for (const dataset::Object& object : sample.objects) {
    dataset::AppendYoloLine(object, sample.size,
                            outlines ? dataset::YoloShape::kOutline : dataset::YoloShape::kBox,
                            where, &lines, findings);
  }
  return json::array{File(StrCat(Stem(sample.image), ".txt"), lines),
                     File("data.yaml", dataset::YoloDataYaml(dataset.classes))};
}

constexpr JsonPart kFields[] = {{.name = "format"},
                                {.name = "image", .whole = true},
                                {.name = "labels", .whole = true},
                                {.name = "objects", .whole = true}};

}  // namespace

absl::StatusOr<json::object> ExportObjects(std::string_view body,
                                           const label_studio::RequestLimits& limits) {
  const auto object = label_studio::ParseJsonObject(body, kFields, limits.max_depth, limits.memory);
  if (!object.ok()) return object.status();
  const std::string_view format = TextField(*object, "format");
  auto* const write = format == "coco"           ? Coco
                      : format == "label_studio" ? LabelStudio
                      : format == "yolo"         ? Yolo
                                                 : nullptr;
  if (write == nullptr) {
    return Bad(StrCat("'format' is '", text::Utf8Prefix(format, 100),
                      "'; needed: coco, label_studio or yolo"));
  }
  const auto dataset = ReadDataset(*object);
  if (!dataset.ok()) return dataset.status();
  dataset::Findings findings;
  auto files = write(*dataset, &findings);
  if (!files.ok()) return files.status();
  json::array notes;
  for (const std::string& line : findings.Lines()) notes.emplace_back(line);
  return json::object{{"files", *std::move(files)}, {"notes", std::move(notes)}};
}

}  // namespace gateway::endpoints
