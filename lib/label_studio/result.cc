#include "label_studio/result.h"

#include <absl/status/status.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <random>
#include <utility>

#include "label_studio/brush_rle.h"
#include "label_studio/json_text.h"
#include "text/str_cat.h"
#include "vision/mask_shapes.h"

namespace label_studio {
namespace {

constexpr double kPolygonTolerancePx = 1.0;
constexpr int kMinPolygonPx = 16;
// Drawn radius of a keypoint, percent of the picture's width.
constexpr double kKeyPointWidth = 0.5;

constexpr std::array<ControlKind, 5> kAllKinds = {ControlKind::kRectangle, ControlKind::kBrush,
                                                  ControlKind::kPolygon, ControlKind::kEllipse,
                                                  ControlKind::kKeyPoint};

std::string RandomId() {
  static constexpr std::string_view kAlphabet =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-";
  static_assert(kAlphabet.size() == 64);
  thread_local std::mt19937_64 random{[] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }()};
  std::uint64_t bits = random();
  std::string id(10, ' ');
  for (char& c : id) {
    c = kAlphabet[bits & 63];
    bits >>= 6;
  }
  return id;
}

double ClampScore(double score) { return std::isnan(score) ? 0 : std::clamp(score, 0.0, 1.0); }

double Percent(double pixels, int side) { return std::clamp(pixels / side * 100, 0.0, 100.0); }

void AppendField(std::string_view name, double value, std::string* json) {
  text::StrAppend(json, ",\"", name, "\":");
  AppendJsonNumber(value, json);
}

// What is the same for every region of one picture.
struct Frame {
  vision::Size size;
  int image_rotation = 0;
  int item_index = -1;
};

class RegionWriter {
 public:
  RegionWriter(const Frame& frame, const Control& control, std::string_view label, double score)
      : frame_(frame), control_(control), label_(label), score_(ClampScore(score)) {}

  // `geometry`: the fields of `value` without the labels, each with a comma after it.
  void Write(std::string_view geometry, Regions* regions) const {
    const std::string id = RandomId();
    if (control_.labels_name.empty()) {
      // <RectangleLabels>: shape and label in one; the label list has the type's name.
      AppendRegion(id, control_.name, control_.type, geometry, control_.type, regions);
    } else {
      // <Rectangle> beside <Labels>: two results of one id.
      AppendRegion(id, control_.name, control_.type, geometry, "", regions);
      if (!label_.empty()) {
        AppendRegion(id, control_.labels_name, "labels", geometry, "labels", regions);
      }
    }
    ++regions->count;
    regions->score_sum += score_;
  }

 private:
  void AppendRegion(std::string_view id, std::string_view from_name, std::string_view type,
                    std::string_view geometry, std::string_view labels_key,
                    Regions* regions) const {
    std::string& json = regions->json;
    if (!json.empty()) json.push_back(',');
    text::StrAppend(&json, "{\"id\":\"", id, "\",\"from_name\":");
    AppendJsonString(from_name, &json);
    json.append(",\"to_name\":");
    AppendJsonString(control_.to_name, &json);
    text::StrAppend(&json, ",\"type\":\"", type, "\",\"original_width\":", frame_.size.width,
                    ",\"original_height\":", frame_.size.height,
                    ",\"image_rotation\":", frame_.image_rotation);
    if (frame_.item_index >= 0) text::StrAppend(&json, ",\"item_index\":", frame_.item_index);
    AppendField("score", score_, &json);
    json.append(",\"readonly\":false,\"hidden\":false,\"value\":{");
    json.append(geometry);
    if (!labels_key.empty() && !label_.empty()) {
      text::StrAppend(&json, "\"", labels_key, "\":[");
      AppendJsonString(label_, &json);
      json.append("]");
    } else {
      json.pop_back();  // the comma after the geometry
    }
    json.append("}}");
  }

  const Frame& frame_;
  const Control& control_;
  const std::string_view label_;
  const double score_;
};

// The `value` of a region without its labels: one a region.
using Geometries = std::vector<std::string>;

std::string RectangleGeometry(double x, double y, double width, double height, double rotation) {
  std::string json = "\"x\":";
  AppendJsonNumber(x, &json);
  AppendField("y", y, &json);
  AppendField("width", width, &json);
  AppendField("height", height, &json);
  AppendField("rotation", rotation, &json);
  json.push_back(',');
  return json;
}

Geometries BoxGeometry(const vision::Box& box, vision::Size size) {
  const double left = Percent(box.x_min, size.width);
  const double top = Percent(box.y_min, size.height);
  const double right = Percent(box.x_max, size.width);
  const double bottom = Percent(box.y_max, size.height);
  // Written with six decimals: less than that is nothing. NaN fails the comparison.
  if (!(right - left >= 1e-6 && bottom - top >= 1e-6)) return {};
  return {RectangleGeometry(left, top, right - left, bottom - top, 0)};
}

// Label Studio turns a rectangle about its first corner, so that corner must lie inside the
// picture. Which of the four is called the first is free: turning the name by a quarter swaps the
// sides. If none is inside, the upright box.
Geometries RotatedGeometry(const vision::RotatedBox& box, const vision::Box& upright,
                           vision::Size size) {
  if (!(box.width > 0 && box.height > 0) || !std::isfinite(box.angle) ||
      !std::isfinite(box.center.x) || !std::isfinite(box.center.y)) {
    return {};
  }
  const auto corners = vision::Corners(box);
  for (std::size_t turn = 0; turn < corners.size(); ++turn) {
    const vision::Point corner = corners[turn];
    const double width = turn % 2 == 0 ? box.width : box.height;
    const double height = turn % 2 == 0 ? box.height : box.width;
    const double percent_width = width / size.width * 100;
    const double percent_height = height / size.height * 100;
    if (corner.x < 0 || corner.y < 0 || corner.x > size.width || corner.y > size.height ||
        percent_width > 100 || percent_height > 100) {
      continue;
    }
    double degrees = std::fmod(box.angle * 180 / std::numbers::pi + 90.0 * turn, 360);
    if (degrees < 0) degrees += 360;
    if (degrees > 360 - 1e-6) degrees = 0;
    return {RectangleGeometry(Percent(corner.x, size.width), Percent(corner.y, size.height),
                              percent_width, percent_height, degrees)};
  }
  return BoxGeometry(upright, size);
}

Geometries BrushGeometry(const vision::Mask& mask) {
  if (mask.spans.empty()) return {};
  std::string json = "\"format\":\"rle\",\"rle\":";
  AppendJsonBytes(EncodeBrushRle(mask), &json);
  json.push_back(',');
  return {std::move(json)};
}

// One region an outer ring; Label Studio's polygons have no holes.
Geometries PolygonGeometries(const vision::Mask& mask) {
  Geometries geometries;
  for (const vision::Polygon& polygon : vision::ToPolygons(
           mask, {.tolerance_px = kPolygonTolerancePx, .min_area_px = kMinPolygonPx})) {
    std::string json = "\"points\":";
    char separator = '[';
    for (const vision::Point& point : polygon.outer) {
      json.push_back(separator);
      json.push_back('[');
      AppendJsonNumber(Percent(point.x, mask.size.width), &json);
      json.push_back(',');
      AppendJsonNumber(Percent(point.y, mask.size.height), &json);
      json.push_back(']');
      separator = ',';
    }
    json.append("],\"closed\":true,");
    geometries.push_back(std::move(json));
  }
  return geometries;
}

Geometries EllipseGeometry(const vision::Mask& mask) {
  const std::optional<vision::Ellipse> ellipse = vision::ToEllipse(mask);
  if (!ellipse) return {};
  const double degrees = ellipse->angle * 180 / std::numbers::pi;
  std::string json = "\"x\":";
  AppendJsonNumber(Percent(ellipse->center.x, mask.size.width), &json);
  AppendField("y", Percent(ellipse->center.y, mask.size.height), &json);
  // Label Studio's limit: half the picture.
  AppendField("radiusX", std::min(ellipse->radius_x / mask.size.width * 100.0, 50.0), &json);
  AppendField("radiusY", std::min(ellipse->radius_y / mask.size.height * 100.0, 50.0), &json);
  AppendField("rotation", degrees < 0 ? degrees + 180 : degrees, &json);
  json.push_back(',');
  return {std::move(json)};
}

Geometries KeyPointGeometry(const vision::Mask& mask) {
  const std::optional<vision::Point> point = vision::InnermostPoint(mask);
  if (!point) return {};
  std::string json = "\"x\":";
  AppendJsonNumber(Percent(point->x, mask.size.width), &json);
  AppendField("y", Percent(point->y, mask.size.height), &json);
  AppendField("width", kKeyPointWidth, &json);
  json.push_back(',');
  return {std::move(json)};
}

// A mask as regions of one kind; empty if it is degenerate.
Geometries MaskGeometries(ControlKind kind, const vision::Mask& mask) {
  switch (kind) {
    case ControlKind::kRectangle:
      return BoxGeometry(vision::TightBox(mask), mask.size);
    case ControlKind::kBrush:
      return BrushGeometry(mask);
    case ControlKind::kPolygon:
      return PolygonGeometries(mask);
    case ControlKind::kEllipse:
      return EllipseGeometry(mask);
    case ControlKind::kKeyPoint:
      return KeyPointGeometry(mask);
  }
  return {};
}

}  // namespace

absl::StatusOr<Outputs> ParseOutputs(std::string_view text) {
  Outputs outputs;
  if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(text::View(text)), "auto")) return outputs;
  for (const absl::string_view word :
       absl::StrSplit(text::View(text), ',', absl::SkipWhitespace())) {
    const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(word));
    const auto kind = std::find_if(kAllKinds.begin(), kAllKinds.end(), [&](ControlKind candidate) {
      return ControlKindName(candidate) == name;
    });
    if (kind == kAllKinds.end()) {
      return absl::InvalidArgumentError(
          text::StrCat("outputs: '", name,
                       "' is unknown; known: auto, rectangle, brush, polygon, ellipse, keypoint"));
    }
    if (std::find(outputs.kinds.begin(), outputs.kinds.end(), *kind) == outputs.kinds.end()) {
      outputs.kinds.push_back(*kind);
    }
  }
  return outputs;
}

EmissionPlan EmissionPlan::Make(const LabelConfig& config, const ImageTag& image,
                                const Outputs& outputs, const LabelMap& label_map) {
  EmissionPlan plan;
  plan.image_ = &image;
  const auto add = [&](ControlKind kind) {
    for (const Control& control : config.controls) {
      if (control.kind == kind && control.to_name == image.name && !control.smart &&
          !control.labels.empty()) {
        plan.targets_.push_back({&control, LabelMatcher(control, label_map)});
        return true;
      }
    }
    return false;
  };
  if (!outputs.kinds.empty()) {
    for (const ControlKind kind : outputs.kinds) add(kind);
    return plan;
  }
  add(ControlKind::kRectangle);
  if (!add(ControlKind::kBrush)) add(ControlKind::kPolygon);
  if (plan.targets_.empty()) {
    add(ControlKind::kEllipse);
    add(ControlKind::kKeyPoint);
  }
  return plan;
}

bool EmissionPlan::needs_masks() const {
  return std::any_of(targets_.begin(), targets_.end(), [](const Target& target) {
    return target.control->kind != ControlKind::kRectangle;
  });
}

std::string EmissionPlan::Describe(const std::vector<std::string>& classes) const {
  // JSON, so that names can't run into each other.
  std::string text = "[";
  const auto add = [&text](std::string_view part) {
    AppendJsonString(part, &text);
    text.push_back(',');
  };
  add(image_->name);
  add(image_->value);
  add(image_->is_list ? "list" : "one");
  for (const Target& target : targets_) {
    std::string labels;
    for (const std::string& name : classes) {
      const auto label = target.labels.Match(name);
      if (!label) continue;
      AppendJsonString(name, &labels);
      labels.push_back(':');
      AppendJsonString(*label, &labels);
      labels.push_back(',');
    }
    if (labels.empty()) continue;  // it writes nothing
    const Control& control = *target.control;
    add(ControlKindName(control.kind));
    add(control.name);
    add(control.type);
    add(control.labels_name);
    text::StrAppend(&text, "{", labels, "},");
  }
  return text + "]";
}

bool EmissionPlan::Emits(std::string_view class_name) const {
  return std::any_of(targets_.begin(), targets_.end(), [&](const Target& target) {
    return target.labels.Match(class_name).has_value();
  });
}

void Regions::Append(Regions&& other) {
  if (!json.empty() && !other.json.empty()) json.push_back(',');
  json += other.json;
  count += other.count;
  score_sum += other.score_sum;
  degenerate += other.degenerate;
  for (std::string& name : other.unmatched_classes) {
    if (std::find(unmatched_classes.begin(), unmatched_classes.end(), name) ==
        unmatched_classes.end()) {
      unmatched_classes.push_back(std::move(name));
    }
  }
}

Regions MakeRegions(const EmissionPlan& plan, vision::Size size, const std::vector<Object>& objects,
                    int item_index) {
  Regions regions;
  const Frame frame{size, 0, item_index};
  for (const Object& object : objects) {
    if (!plan.Emits(object.class_name)) {
      if (std::find(regions.unmatched_classes.begin(), regions.unmatched_classes.end(),
                    object.class_name) == regions.unmatched_classes.end()) {
        regions.unmatched_classes.push_back(object.class_name);
      }
      continue;
    }
    for (const EmissionPlan::Target& target : plan.targets()) {
      const std::optional<std::string> label = target.labels.Match(object.class_name);
      if (!label) continue;
      const bool rectangle = target.control->kind == ControlKind::kRectangle;
      if (!rectangle && !object.mask) continue;
      Geometries geometries;
      if (!rectangle) {
        geometries = MaskGeometries(target.control->kind, *object.mask);
      } else if (object.rotated_box) {
        geometries = RotatedGeometry(*object.rotated_box, object.box, size);
      } else {
        geometries = BoxGeometry(object.box, size);
      }
      if (geometries.empty()) ++regions.degenerate;
      const RegionWriter writer(frame, *target.control, *label,
                                rectangle ? object.score : object.mask_score);
      for (const std::string& geometry : geometries) writer.Write(geometry, &regions);
    }
  }
  return regions;
}

Regions MakeAnswer(const InteractivePrompt& prompt, const AnswerTarget& target,
                   const vision::Mask& mask, float score) {
  Regions regions;
  const Frame frame{mask.size, prompt.image_rotation, prompt.item_index};
  const RegionWriter writer(frame, *target.control, target.label, score);
  const Geometries geometries = MaskGeometries(target.control->kind, mask);
  if (geometries.empty()) ++regions.degenerate;
  for (const std::string& geometry : geometries) writer.Write(geometry, &regions);
  return regions;
}

std::size_t EmissionPlan::memory_bytes() const {
  std::size_t bytes = targets_.capacity() * sizeof(Target);
  for (const Target& target : targets_) bytes += target.labels.memory_bytes();
  return bytes;
}

std::string PredictionJson(const Regions& regions, std::string_view model_version) {
  std::string json = text::StrCat("{\"result\":[", regions.json, "],\"score\":");
  AppendJsonNumber(regions.count == 0 ? 0 : regions.score_sum / regions.count, &json);
  json.append(",\"model_version\":");
  AppendJsonString(model_version, &json);
  json.push_back('}');
  return json;
}

std::string PredictResponseJson(std::vector<std::string> predictions,
                                std::string_view model_version) {
  std::size_t bytes = 64 + model_version.size();
  for (const std::string& prediction : predictions) bytes += prediction.size() + 1;
  std::string json;
  json.reserve(bytes);
  json.append("{\"results\":[");
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    if (i > 0) json.push_back(',');
    json.append(std::exchange(predictions[i], {}));  // not both for long
  }
  json.append("],\"model_version\":");
  AppendJsonString(model_version, &json);
  json.push_back('}');
  return json;
}

}  // namespace label_studio
