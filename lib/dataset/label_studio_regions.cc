#include "dataset/label_studio_regions.h"

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/strings/numbers.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <tuple>
#include <utility>

#include "dataset/json_elements.h"
#include "dataset/object_checks.h"
#include "label_studio/brush_rle.h"
#include "label_studio/json_fields.h"
#include "text/str_cat.h"
#include "vision/box.h"
#include "vision/coco_polygon.h"
#include "vision/mask_shapes.h"
#include "vision/mask_union.h"

namespace dataset {
namespace {

namespace json = boost::json;
using label_studio::TextField;
using text::StrCat;

constexpr double kMaxSide = 1e6;  // pixels

// Several fields of percentages as pixels; nothing if one is missing or absurd.
class Percentages {
 public:
  Percentages(const json::object& value, vision::Size size) : value_(value), size_(size) {}

  std::optional<double> OfWidth(std::string_view field) const { return Of(field, size_.width); }
  std::optional<double> OfHeight(std::string_view field) const { return Of(field, size_.height); }

 private:
  std::optional<double> Of(std::string_view field, int side) const {
    const std::optional<double> percent = NumberField(value_, field);
    if (!percent || std::abs(*percent) > 1e4) return std::nullopt;
    return *percent / 100 * side;
  }

  const json::object& value_;
  const vision::Size size_;
};

double Radians(const json::object& value) {
  const double degrees = std::fmod(NumberField(value, "rotation").value_or(0), 360.0);
  return (degrees < 0 ? degrees + 360 : degrees) * std::numbers::pi / 180;
}

// Each returns false if the value is damaged; an empty shape leaves the region's box empty.
bool ReadRectangle(const json::object& value, Region* region) {
  const Percentages percentages(value, region->size);
  const auto x = percentages.OfWidth("x");
  const auto y = percentages.OfHeight("y");
  const auto width = percentages.OfWidth("width");
  const auto height = percentages.OfHeight("height");
  if (!x || !y || !width || !height) return false;
  region->is_rectangle = true;
  // Turned about the corner at (x, y), clockwise.
  const double angle = Radians(value);
  if (angle == 0) {
    region->box = {static_cast<float>(*x), static_cast<float>(*y), static_cast<float>(*x + *width),
                   static_cast<float>(*y + *height)};
    return true;
  }
  if (!(*width > 0 && *height > 0)) return true;
  const double cosine = std::cos(angle);
  const double sine = std::sin(angle);
  region->rotated_box = vision::RotatedBox{
      .center = {static_cast<float>(*x + (*width * cosine - *height * sine) / 2),
                 static_cast<float>(*y + (*width * sine + *height * cosine) / 2)},
      .width = static_cast<float>(*width),
      .height = static_cast<float>(*height),
      .angle = static_cast<float>(angle)};
  region->box = vision::BoundingBox(*region->rotated_box);
  return true;
}

bool ReadEllipse(const json::object& value, Region* region) {
  const Percentages percentages(value, region->size);
  const auto x = percentages.OfWidth("x");
  const auto y = percentages.OfHeight("y");
  const auto radius_x = percentages.OfWidth("radiusX");
  const auto radius_y = percentages.OfHeight("radiusY");
  if (!x || !y || !radius_x || !radius_y) return false;
  const vision::Ellipse ellipse = {.center = {static_cast<float>(*x), static_cast<float>(*y)},
                                   .radius_x = static_cast<float>(*radius_x),
                                   .radius_y = static_cast<float>(*radius_y),
                                   .angle = static_cast<float>(Radians(value))};
  region->mask = vision::MaskFromEllipse(region->size, ellipse);
  if (*radius_x > 0 && *radius_y > 0) region->box = vision::BoundingBox(ellipse);
  return true;
}

bool ReadPolygon(const json::object& value, Region* region) {
  const json::value* const field = value.if_contains("points");
  const json::array* const points = field == nullptr ? nullptr : field->if_array();
  if (points == nullptr || points->size() < 3) return false;
  std::vector<double> coordinates;
  vision::Box& box = region->box;
  for (const json::value& element : *points) {
    const json::array* const pair = element.if_array();
    if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_number() ||
        !(*pair)[1].is_number()) {
      return false;
    }
    const double x = (*pair)[0].to_number<double>() / 100 * region->size.width;
    const double y = (*pair)[1].to_number<double>() / 100 * region->size.height;
    const auto left = static_cast<float>(x);
    const auto top = static_cast<float>(y);
    box = coordinates.empty() ? vision::Box{left, top, left, top}
                              : vision::Box{std::min(box.x_min, left), std::min(box.y_min, top),
                                            std::max(box.x_max, left), std::max(box.y_max, top)};
    coordinates.push_back(x);
    coordinates.push_back(y);
  }
  absl::StatusOr<vision::Mask> mask = vision::MaskFromCocoPolygon(region->size, coordinates);
  if (!mask.ok()) return false;
  region->mask = *std::move(mask);
  return true;
}

bool ReadBrush(const json::object& value, Region* region) {
  const json::value* const field = value.if_contains("rle");
  const json::array* const list = field == nullptr ? nullptr : field->if_array();
  if (list == nullptr) return false;
  const std::vector<std::uint8_t> bytes = label_studio::LeadingBytes(*list);
  if (bytes.size() < list->size()) return false;
  absl::StatusOr<vision::Mask> mask = label_studio::DecodeBrushRle(bytes, region->size);
  if (!mask.ok()) return false;
  region->box = vision::TightBox(*mask);
  region->mask = *std::move(mask);
  return true;
}

// What a `value` holds, told by its fields: the type of a result may be that of its labels, or of a
// choice or text that belongs to the region and repeats its shape.
enum class Shape { kNone, kRectangle, kBrush, kPolygon, kEllipse, kKeyPoint, kUnknown };

Shape ShapeOf(const json::object& value, std::string_view type) {
  if (value.contains("rle")) return Shape::kBrush;
  if (value.contains("points")) return Shape::kPolygon;
  if (value.contains("radiusX")) return Shape::kEllipse;
  if (type.starts_with("keypoint")) return Shape::kKeyPoint;
  if (value.contains("x") && value.contains("y")) {
    return value.contains("height") ? Shape::kRectangle : Shape::kKeyPoint;
  }
  // A bitmap, a vector, a cuboid, a video's sequence, …
  return value.contains("format") || value.contains("vertices") || value.contains("sequence")
             ? Shape::kUnknown
             : Shape::kNone;
}

bool ReadShape(Shape shape, const json::object& value, Region* region) {
  switch (shape) {
    case Shape::kRectangle:
      return ReadRectangle(value, region);
    case Shape::kBrush:
      return ReadBrush(value, region);
    case Shape::kPolygon:
      return ReadPolygon(value, region);
    case Shape::kEllipse:
      return ReadEllipse(value, region);
    default:
      return false;
  }
}

// The labels of a result: those lists of its value whose name ends so: "rectanglelabels", "labels".
void AddLabels(const json::object& value, std::string_view from_name, LabelNames names,
               std::vector<std::string>* labels) {
  for (const auto& [key, field] : value) {
    const std::string_view name(key.data(), key.size());
    if (!name.ends_with("labels") || !field.is_array()) continue;
    for (const json::value& element : field.get_array()) {
      if (!element.is_string() || element.get_string().empty()) continue;
      const json::string& label = element.get_string();
      labels->push_back(names(from_name, {label.data(), label.size()}));
    }
  }
}

std::optional<vision::Size> SizeOf(const json::object& result) {
  const auto width = NumberField(result, "original_width");
  const auto height = NumberField(result, "original_height");
  if (!width || !height || !(*width >= 1 && *height >= 1) ||
      !(*width <= kMaxSide && *height <= kMaxSide)) {
    return std::nullopt;
  }
  return vision::Size{static_cast<int>(*width), static_cast<int>(*height)};
}

// Collects results into regions.
class Collector {
 public:
  Collector(LabelNames names, std::string_view where, Findings* findings)
      : names_(names), where_(where), findings_(*findings) {}

  void Add(const json::object& result);
  Regions Finish() &&;

 private:
  struct Drawn {
    Region region;
    bool has_shape = false;
  };

  Drawn& RegionOf(const json::object& result);
  void AddShape(Shape shape, const json::object& result, const json::object& value, Drawn* drawn);
  void LeaveOut(std::string_view kind, std::string_view id) {
    findings_.Add(kind, StrCat("region '", id, "' of ", where_));
  }

  LabelNames names_;
  const std::string_view where_;
  Findings& findings_;
  std::vector<Drawn> drawn_;
  absl::flat_hash_map<std::string, std::size_t> by_id_;
  Regions result_;
};

Collector::Drawn& Collector::RegionOf(const json::object& result) {
  const std::string id = IdField(result, "id");
  std::string to_name(TextField(result, "to_name"));
  const double index = NumberField(result, "item_index").value_or(0);
  const int item_index = index >= 0 && index < 1e6 ? static_cast<int>(index) : -1;
  if (!id.empty()) {
    const auto [known, is_new] =
        by_id_.emplace(StrCat(to_name, "\n", item_index, "\n", id), drawn_.size());
    if (!is_new) return drawn_[known->second];
  }
  Drawn& drawn = drawn_.emplace_back();
  drawn.region.id = id;
  drawn.region.to_name = std::move(to_name);
  drawn.region.item_index = item_index;
  return drawn;
}

void Collector::AddShape(Shape shape, const json::object& result, const json::object& value,
                         Drawn* drawn) {
  Region& region = drawn->region;
  const std::optional<vision::Size> size = SizeOf(result);
  if (!size) {
    LeaveOut("regions without original_width and original_height, left out", region.id);
  } else {
    region.size = *size;
    if (ReadShape(shape, value, &region)) {
      drawn->has_shape = true;
    } else {
      LeaveOut("damaged regions, left out", region.id);
    }
  }
}

void Collector::Add(const json::object& result) {
  const std::string_view type = TextField(result, "type");
  if (type == "relation") {
    result_.relations.emplace_back(IdField(result, "from_id"), IdField(result, "to_id"));
    return;
  }
  const json::value* const field = result.if_contains("value");
  const json::object* const value = field == nullptr ? nullptr : field->if_object();
  const Shape shape = value == nullptr ? Shape::kNone : ShapeOf(*value, type);
  if (shape == Shape::kNone) {
    findings_.Add("results that draw no region (choices, texts, …), left out",
                  StrCat("type '", type, "' in ", where_));
    return;
  }
  if (shape == Shape::kKeyPoint || shape == Shape::kUnknown) {
    LeaveOut(shape == Shape::kKeyPoint ? "keypoints, left out"
                                       : "regions of kinds that are not read, left out",
             IdField(result, "id"));
    return;
  }
  Drawn& drawn = RegionOf(result);
  if (drawn.region.parent_id.empty()) drawn.region.parent_id = IdField(result, "parentID");
  if (!drawn.has_shape) AddShape(shape, result, *value, &drawn);
  AddLabels(*value, TextField(result, "from_name"), names_, &drawn.region.labels);
}

Regions Collector::Finish() && {
  for (Drawn& drawn : drawn_) {
    Region& region = drawn.region;
    if (!drawn.has_shape) continue;
    std::sort(region.labels.begin(), region.labels.end());
    region.labels.erase(std::unique(region.labels.begin(), region.labels.end()),
                        region.labels.end());
    region.box = IsEmpty(region.box) ? vision::Box{} : vision::Clip(region.box, region.size);
    if (region.mask && region.mask->spans.empty()) region.mask.reset();
    // A shape thinner than a pixel may have no mask, but has a box.
    if (IsEmpty(region.box)) {
      LeaveOut("empty regions, or outside of the image, left out", region.id);
    } else {
      result_.regions.push_back(std::move(region));
    }
  }
  return std::move(result_);
}

// Which mask regions were drawn of which rectangle.
class Joiner {
 public:
  explicit Joiner(Regions drawn)
      : regions_(std::move(drawn.regions)), taken_by_(regions_.size(), kNobody) {
    for (std::size_t i = 0; i < regions_.size(); ++i) by_id_.emplace(regions_[i].id, i);
    for (const auto& [from, to] : drawn.relations) {
      TakeById(from, to);
      TakeById(to, from);
    }
    for (const Region& region : regions_) TakeById(region.parent_id, region.id);
  }

  void TakeOverlapping(double min_iou);
  std::vector<Region> Join() &&;

 private:
  static constexpr std::size_t kNobody = static_cast<std::size_t>(-1);

  bool MayTake(std::size_t rectangle, std::size_t mask) const {
    return regions_[rectangle].is_rectangle && !regions_[mask].is_rectangle &&
           taken_by_[mask] == kNobody && regions_[rectangle].size == regions_[mask].size &&
           regions_[rectangle].labels == regions_[mask].labels;
  }
  void TakeById(const std::string& rectangle, const std::string& mask) {
    const auto from = by_id_.find(rectangle);
    const auto to = by_id_.find(mask);
    if (rectangle.empty() || mask.empty() || from == by_id_.end() || to == by_id_.end()) return;
    if (MayTake(from->second, to->second)) taken_by_[to->second] = from->second;
  }

  std::vector<Region> regions_;
  std::vector<std::size_t> taken_by_;  // of a mask region: its rectangle
  absl::flat_hash_map<std::string, std::size_t> by_id_;
};

void Joiner::TakeOverlapping(double min_iou) {
  std::vector<bool> has_mask(regions_.size(), false);
  for (const std::size_t rectangle : taken_by_) {
    if (rectangle != kNobody) has_mask[rectangle] = true;
  }
  // Of masks that may be taken, empty for others. Around the pixels: a polygon's own box may reach
  // beyond them.
  std::vector<vision::Box> tight(regions_.size());
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    if (regions_[i].mask) tight[i] = vision::TightBox(*regions_[i].mask);
  }
  std::vector<std::tuple<float, std::size_t, std::size_t>> pairs;  // -IoU, rectangle, mask
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    if (!regions_[i].is_rectangle || has_mask[i]) continue;
    for (std::size_t j = 0; j < regions_.size(); ++j) {
      const float iou = IsEmpty(tight[j]) ? 0 : vision::BoxIou(regions_[i].box, tight[j]);
      if (iou > 0 && iou >= min_iou && MayTake(i, j)) pairs.emplace_back(-iou, i, j);
    }
  }
  std::sort(pairs.begin(), pairs.end());
  for (const auto& [iou, rectangle, mask] : pairs) {
    if (has_mask[rectangle] || taken_by_[mask] != kNobody) continue;
    has_mask[rectangle] = true;
    taken_by_[mask] = rectangle;
  }
}

std::vector<Region> Joiner::Join() && {
  std::vector<std::vector<vision::Mask>> masks(regions_.size());
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    if (taken_by_[i] != kNobody && regions_[i].mask) {
      masks[taken_by_[i]].push_back(*std::move(regions_[i].mask));
    }
  }
  std::vector<Region> joined;
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    if (taken_by_[i] != kNobody) continue;
    if (!masks[i].empty()) regions_[i].mask = vision::Union(masks[i]);
    joined.push_back(std::move(regions_[i]));
  }
  return joined;
}

// Larger is newer. Ids only grow, so they decide between equal times.
std::tuple<std::string_view, std::int64_t> Age(const json::object& annotation) {
  std::int64_t id = 0;
  (void)absl::SimpleAtoi(IdField(annotation, "id"), &id);
  return {TextField(annotation, "created_at"), id};
}

}  // namespace

const json::object* NewestAnnotation(const json::array& annotations) {
  const json::object* newest = nullptr;
  for (const json::value& element : annotations) {
    const json::object* const annotation = element.if_object();
    const json::value* const results =
        annotation == nullptr ? nullptr : annotation->if_contains("result");
    if (results == nullptr || !results->is_array()) continue;
    if (TrueField(*annotation, "was_cancelled") || TrueField(*annotation, "skipped")) continue;
    if (newest == nullptr || Age(*newest) < Age(*annotation)) newest = annotation;
  }
  return newest;
}

Regions ReadRegions(const json::array& results, LabelNames names, std::string_view where,
                    Findings* findings) {
  Collector collector(names, where, findings);
  for (const json::value& result : results) {
    if (const json::object* const object = result.if_object()) collector.Add(*object);
  }
  return std::move(collector).Finish();
}

std::vector<Region> JoinRegions(Regions drawn, double min_iou) {
  Joiner joiner(std::move(drawn));
  joiner.TakeOverlapping(min_iou);
  return std::move(joiner).Join();
}

}  // namespace dataset
