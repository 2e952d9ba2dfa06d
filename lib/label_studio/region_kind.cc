#include "label_studio/region_kind.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

#include "label_studio/brush_rle.h"
#include "label_studio/context.h"
#include "label_studio/json_fields.h"
#include "label_studio/json_text.h"
#include "text/str_cat.h"
#include "vision/box.h"
#include "vision/mask_shapes.h"

namespace label_studio {
namespace {

namespace json = boost::json;

constexpr double kPolygonTolerancePx = 1.0;
constexpr int kMinPolygonPx = 16;
// Drawn radius of a keypoint, percent of the image's width.
constexpr double kKeyPointWidth = 0.5;

// ---- Writing: from boxes and masks to the fields of `value`.

double ToPercent(double pixels, int side) { return std::clamp(pixels / side * 100, 0.0, 100.0); }

// `"name":value,`
void AppendField(std::string_view name, double value, std::string* text) {
  text::StrAppend(text, "\"", name, "\":");
  AppendJsonNumber(value, text);
  text->push_back(',');
}

void WriteRectangle(double x, double y, double width, double height, double rotation,
                    RegionSink& sink) {
  std::string* const text = sink.Begin();
  AppendField("x", x, text);
  AppendField("y", y, text);
  AppendField("width", width, text);
  AppendField("height", height, text);
  AppendField("rotation", rotation, text);
  sink.End();
}

void WriteUprightBox(const vision::Box& box, vision::Size size, RegionSink& sink) {
  const double left = ToPercent(box.x_min, size.width);
  const double top = ToPercent(box.y_min, size.height);
  const double right = ToPercent(box.x_max, size.width);
  const double bottom = ToPercent(box.y_max, size.height);
  // Written with six decimals: less than that is nothing. NaN fails the comparison.
  if (!(right - left >= 1e-6 && bottom - top >= 1e-6)) return;
  WriteRectangle(left, top, right - left, bottom - top, 0, sink);
}

// Label Studio turns a rectangle about its origin, which must lie inside the image. Choose a corner
// inside the image as origin; odd turns swap width and height. Without such a corner, write the
// upright box.
void WriteRotatedBox(const vision::RotatedBox& box, const vision::Box& upright, vision::Size size,
                     RegionSink& sink) {
  if (!(box.width > 0 && box.height > 0) || !std::isfinite(box.angle) ||
      !std::isfinite(box.center.x) || !std::isfinite(box.center.y)) {
    return;
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
    WriteRectangle(ToPercent(corner.x, size.width), ToPercent(corner.y, size.height), percent_width,
                   percent_height, degrees, sink);
    return;
  }
  WriteUprightBox(upright, size, sink);
}

void WriteBox(const vision::Box& box, const std::optional<vision::RotatedBox>& rotated_box,
              vision::Size size, RegionSink& sink) {
  if (rotated_box) {
    WriteRotatedBox(*rotated_box, box, size, sink);
  } else {
    WriteUprightBox(box, size, sink);
  }
}

void WriteBoxOfMask(const vision::Mask& mask, RegionSink& sink) {
  WriteUprightBox(vision::TightBox(mask), mask.size, sink);
}

void WriteBrush(const vision::Mask& mask, RegionSink& sink) {
  if (mask.spans.empty()) return;
  std::string* const text = sink.Begin();
  text->append("\"format\":\"rle\",\"rle\":");
  AppendJsonBytes(EncodeBrushRle(mask), text);
  text->push_back(',');
  sink.End();
}

// One region an outer ring; Label Studio's polygons have no holes.
void WritePolygons(const vision::Mask& mask, RegionSink& sink) {
  for (const vision::Polygon& polygon : vision::ToPolygons(
           mask, {.tolerance_px = kPolygonTolerancePx, .min_area_px = kMinPolygonPx})) {
    std::string* const text = sink.Begin();
    text->append("\"points\":");
    char separator = '[';
    for (const vision::Point& point : polygon.outer) {
      text->push_back(separator);
      text->push_back('[');
      AppendJsonNumber(ToPercent(point.x, mask.size.width), text);
      text->push_back(',');
      AppendJsonNumber(ToPercent(point.y, mask.size.height), text);
      text->push_back(']');
      separator = ',';
    }
    text->append("],\"closed\":true,");
    sink.End();
  }
}

void WriteEllipse(const vision::Mask& mask, RegionSink& sink) {
  const std::optional<vision::Ellipse> ellipse = vision::ToEllipse(mask);
  if (!ellipse) return;
  const double degrees = ellipse->angle * 180 / std::numbers::pi;
  std::string* const text = sink.Begin();
  AppendField("x", ToPercent(ellipse->center.x, mask.size.width), text);
  AppendField("y", ToPercent(ellipse->center.y, mask.size.height), text);
  // Label Studio's limit: half the image.
  AppendField("radiusX", std::min(ellipse->radius_x / mask.size.width * 100.0, 50.0), text);
  AppendField("radiusY", std::min(ellipse->radius_y / mask.size.height * 100.0, 50.0), text);
  AppendField("rotation", degrees < 0 ? degrees + 180 : degrees, text);
  sink.End();
}

void WriteKeyPoint(const vision::Mask& mask, RegionSink& sink) {
  const std::optional<vision::Point> point = vision::InnermostPoint(mask);
  if (!point) return;
  std::string* const text = sink.Begin();
  AppendField("x", ToPercent(point->x, mask.size.width), text);
  AppendField("y", ToPercent(point->y, mask.size.height), text);
  AppendField("width", kKeyPointWidth, text);
  sink.End();
}

// ---- Reading: from the fields of `value` to prompts in pixels.

// Values far outside the image are clamped to what float arithmetic can bear.
double ClampPercent(double percent) { return std::clamp(percent, -1e6, 1e6); }

absl::StatusOr<double> PercentField(const PromptItem& item, std::string_view field) {
  const std::optional<double> number = FiniteNumber(item.value->if_contains(field));
  if (!number) return BadItem(item, text::StrCat("has no number 'value.", field, "'"));
  return ClampPercent(*number);
}

double Degrees(const PromptItem& item) {
  return std::fmod(FiniteNumber(item.value->if_contains("rotation")).value_or(0), 360.0);
}

// Two fields in percent of the image's width and two of its height, in turn, as pixels.
absl::StatusOr<std::array<double, 4>> PixelFields(const PromptItem& item, vision::Size size,
                                                  const std::array<std::string_view, 4>& fields) {
  std::array<double, 4> pixels;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    absl::StatusOr<double> percent = PercentField(item, fields[i]);
    if (!percent.ok()) return percent.status();
    pixels[i] = *percent / 100 * (i % 2 == 0 ? size.width : size.height);
  }
  return pixels;
}

// Turned clockwise about `pivot`, pixels.
vision::Point Turn(vision::Point point, vision::Point pivot, double degrees) {
  const double radians = degrees * std::numbers::pi / 180;
  const double dx = point.x - pivot.x;
  const double dy = point.y - pivot.y;
  return {static_cast<float>(pivot.x + dx * std::cos(radians) - dy * std::sin(radians)),
          static_cast<float>(pivot.y + dx * std::sin(radians) + dy * std::cos(radians))};
}

// Makes the box around the points, clipped to the image, the prompt's box, if it isn't empty.
template <typename Points>
void SetBoxAround(const Points& points, InteractivePrompt* prompt) {
  const auto [left, right] =
      std::minmax_element(points.begin(), points.end(), [](auto& a, auto& b) { return a.x < b.x; });
  const auto [top, bottom] =
      std::minmax_element(points.begin(), points.end(), [](auto& a, auto& b) { return a.y < b.y; });
  const vision::Box box = vision::Clip({left->x, top->y, right->x, bottom->y}, prompt->size);
  if (box.width() > 0 && box.height() > 0) prompt->box = box;
}

absl::Status ReadRectangle(const PromptItem& item, InteractivePrompt* prompt) {
  const auto pixels = PixelFields(item, prompt->size, {"x", "y", "width", "height"});
  if (!pixels.ok()) return pixels.status();
  const auto x = static_cast<float>((*pixels)[0]);
  const auto y = static_cast<float>((*pixels)[1]);
  const auto width = static_cast<float>((*pixels)[2]);
  const auto height = static_cast<float>((*pixels)[3]);
  std::array<vision::Point, 4> corners = {
      {{x, y}, {x + width, y}, {x + width, y + height}, {x, y + height}}};
  for (vision::Point& corner : corners) corner = Turn(corner, {x, y}, Degrees(item));
  SetBoxAround(corners, prompt);
  return absl::OkStatus();
}

absl::Status ReadEllipse(const PromptItem& item, InteractivePrompt* prompt) {
  const auto pixels = PixelFields(item, prompt->size, {"x", "y", "radiusX", "radiusY"});
  if (!pixels.ok()) return pixels.status();
  const auto [x, y, radius_x, radius_y] = *pixels;
  const double radians = Degrees(item) * std::numbers::pi / 180;
  const double reach_x = std::hypot(radius_x * std::cos(radians), radius_y * std::sin(radians));
  const double reach_y = std::hypot(radius_x * std::sin(radians), radius_y * std::cos(radians));
  const std::array<vision::Point, 2> corners = {
      {{static_cast<float>(x - reach_x), static_cast<float>(y - reach_y)},
       {static_cast<float>(x + reach_x), static_cast<float>(y + reach_y)}}};
  SetBoxAround(corners, prompt);
  return absl::OkStatus();
}

absl::Status ReadPolygon(const PromptItem& item, InteractivePrompt* prompt) {
  const json::value* value = item.value->if_contains("points");
  const json::array* list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr || list->empty()) return BadItem(item, "has no list 'value.points'");
  std::vector<vision::Point> points;
  for (const json::value& element : *list) {
    const json::array* pair = element.if_array();
    const std::optional<double> x =
        pair == nullptr || pair->size() != 2 ? std::nullopt : FiniteNumber(&(*pair)[0]);
    const std::optional<double> y = !x ? std::nullopt : FiniteNumber(&(*pair)[1]);
    if (!y) return BadItem(item, text::StrCat("'value.points[", points.size(), "]' is not [x, y]"));
    points.push_back({static_cast<float>(ClampPercent(*x) / 100 * prompt->size.width),
                      static_cast<float>(ClampPercent(*y) / 100 * prompt->size.height)});
  }
  SetBoxAround(points, prompt);
  return absl::OkStatus();
}

absl::Status ReadBrush(const PromptItem& item, InteractivePrompt* prompt) {
  const json::value* value = item.value->if_contains("rle");
  const json::array* list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr) return BadItem(item, "has no list 'value.rle'");
  const std::vector<std::uint8_t> bytes = LeadingBytes(*list);
  if (bytes.size() < list->size()) {
    return BadItem(item, text::StrCat("'value.rle[", bytes.size(), "]' is not in 0..255"));
  }
  absl::StatusOr<vision::Mask> mask = DecodeBrushRle(bytes, prompt->size);
  if (!mask.ok()) return BadItem(item, text::StrCat("'value.rle': ", mask.status().message()));
  if (!mask->spans.empty()) prompt->mask = *std::move(mask);
  return absl::OkStatus();
}

absl::Status ReadKeyPoint(const PromptItem& item, InteractivePrompt* prompt) {
  absl::StatusOr<double> x = PercentField(item, "x");
  if (!x.ok()) return x.status();
  absl::StatusOr<double> y = PercentField(item, "y");
  if (!y.ok()) return y.status();
  // Absent on points that were restored from a draft: those were positive.
  const json::value* positive = item.region->if_contains("is_positive");
  const auto width = static_cast<float>(prompt->size.width);
  const auto height = static_cast<float>(prompt->size.height);
  prompt->points.push_back({{std::clamp(static_cast<float>(*x / 100 * width), 0.0f, width),
                             std::clamp(static_cast<float>(*y / 100 * height), 0.0f, height)},
                            positive == nullptr || !positive->is_bool() || positive->get_bool()});
  return absl::OkStatus();
}

// ---- The table.

constexpr std::array<RegionKindInfo, kRegionKindCount> kKinds = {{
    {.kind = RegionKind::kRectangle,
     .name = "rectangle",
     .tag = "Rectangle",
     .auto_output = AutoOutput::kAlways,
     .answer_order = 3,
     .write_mask = WriteBoxOfMask,
     .write_box = WriteBox,
     .read_prompt = ReadRectangle},
    {.kind = RegionKind::kBrush,
     .name = "brush",
     .tag = "Brush",
     .auto_output = AutoOutput::kOneOf,
     .answer_order = 0,
     .write_mask = WriteBrush,
     .write_box = nullptr,
     .read_prompt = ReadBrush},
    {.kind = RegionKind::kPolygon,
     .name = "polygon",
     .tag = "Polygon",
     .auto_output = AutoOutput::kOneOf,
     .answer_order = 1,
     .write_mask = WritePolygons,
     .write_box = nullptr,
     .read_prompt = ReadPolygon},
    {.kind = RegionKind::kEllipse,
     .name = "ellipse",
     .tag = "Ellipse",
     .auto_output = AutoOutput::kIfNothingElse,
     .answer_order = 2,
     .write_mask = WriteEllipse,
     .write_box = nullptr,
     .read_prompt = ReadEllipse},
    {.kind = RegionKind::kKeyPoint,
     .name = "keypoint",
     .tag = "KeyPoint",
     .auto_output = AutoOutput::kIfNothingElse,
     .answer_order = std::nullopt,
     .write_mask = WriteKeyPoint,
     .write_box = nullptr,
     .read_prompt = ReadKeyPoint},
}};

constexpr bool IsInOrder() {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i].kind != static_cast<RegionKind>(i)) return false;
  }
  return true;
}
static_assert(IsInOrder(), "one row a kind, in the enum's order");

}  // namespace

absl::Status BadItem(const PromptItem& item, std::string_view what) {
  return absl::InvalidArgumentError(text::StrCat("'", item.name, "' ", what));
}

absl::Span<const RegionKindInfo> RegionKinds() { return kKinds; }

const RegionKindInfo& InfoOf(RegionKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

absl::Span<const RegionKindInfo> AnswerKinds() {
  static const auto* const kinds = [] {
    auto* const sorted = new std::vector<RegionKindInfo>;
    for (const RegionKindInfo& info : kKinds) {
      if (info.answer_order) sorted->push_back(info);
    }
    std::sort(sorted->begin(), sorted->end(),
              [](const auto& a, const auto& b) { return *a.answer_order < *b.answer_order; });
    return sorted;
  }();
  return *kinds;
}

std::string TagsOf(absl::Span<const RegionKindInfo> kinds) {
  std::string tags;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    const char* const separator = i == 0 ? "" : i + 1 == kinds.size() ? " or " : ", ";
    text::StrAppend(&tags, separator, kinds[i].tag, "Labels");
  }
  return tags;
}

}  // namespace label_studio
