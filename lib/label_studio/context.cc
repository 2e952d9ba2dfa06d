#include "label_studio/context.h"

#include <absl/container/flat_hash_set.h>
#include <absl/status/status.h>
#include <absl/strings/match.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "label_studio/json_fields.h"
#include "label_studio/region_kind.h"
#include "text/str_cat.h"

namespace label_studio {
namespace {

namespace json = boost::json;

// An item, with the control that it was drawn with.
struct Item : PromptItem {
  const Control* control = nullptr;
  int item_index = -1;
};

absl::StatusOr<vision::Size> OriginalSize(const Item& item) {
  vision::Size size;
  for (const auto& [field, side] :
       {std::pair{"original_width", &size.width}, std::pair{"original_height", &size.height}}) {
    const std::optional<double> number = FiniteNumber(item.region->if_contains(field));
    if (!number || *number < 1 || *number > 1'000'000) {
      return BadItem(item, text::StrCat("has no '", field, "' in 1..1000000"));
    }
    *side = static_cast<int>(*number);
  }
  if (static_cast<std::int64_t>(size.width) * size.height >= (std::int64_t{1} << 30)) {
    return BadItem(item, "is on an image of 2^30 pixels or more");
  }
  return size;
}

// Texts in the order in which they were added, each once.
class DistinctTexts {
 public:
  // Those of a list; anything else adds nothing.
  void Add(const json::value* value) {
    const json::array* list = value == nullptr ? nullptr : value->if_array();
    if (list == nullptr) return;
    for (const json::value& element : *list) {
      const json::string* text = element.if_string();
      if (text != nullptr && !text->empty() && seen_.insert(*text).second) texts_.push_back(*text);
    }
  }

  const std::vector<std::string_view>& texts() const { return texts_; }

 private:
  absl::flat_hash_set<std::string_view> seen_;
  std::vector<std::string_view> texts_;
};

// The labels of value.<type>, value.labels and value.<anything>labels, and those that the <Labels>
// beside a plain shape gave to the same region: they are entries of their own in `list`.
absl::StatusOr<std::vector<std::string>> LabelsOf(const Item& item, const json::array& list,
                                                  std::size_t max_labels) {
  DistinctTexts labels;
  labels.Add(item.value->if_contains(item.control->type));
  labels.Add(item.value->if_contains("labels"));
  for (const auto& [field, value] : *item.value) {
    if (absl::EndsWith(text::View(std::string_view(field)), "labels")) labels.Add(&value);
  }
  const std::string_view id = TextField(*item.region, "id");
  for (const json::value& entry : list) {
    const json::object* other = entry.if_object();
    if (id.empty() || other == nullptr || TextField(*other, "type") != "labels" ||
        TextField(*other, "id") != id) {
      continue;
    }
    const json::value* value = other->if_contains("value");
    const json::object* fields = value == nullptr ? nullptr : value->if_object();
    if (fields != nullptr) labels.Add(fields->if_contains("labels"));
  }
  if (labels.texts().size() > max_labels) {
    return BadItem(item,
                   text::StrCat("has ", labels.texts().size(), " labels; at most ", max_labels));
  }
  return std::vector<std::string>(labels.texts().begin(), labels.texts().end());
}

// True for an earlier answer of the model that the annotator hasn't changed.
bool IsOwnAnswer(const json::object& region) {
  return TextField(region, "origin") == "prediction" && !region.contains("is_positive");
}

bool IsShapeType(std::string_view type) {
  return std::any_of(RegionKinds().begin(), RegionKinds().end(),
                     [type](const auto& info) { return type.starts_with(info.name); });
}

// The items of the list that are prompts: drawn with a control that marks regions, and not an
// earlier answer of the model.
absl::StatusOr<std::vector<Item>> Prompts(const json::array& list, const LabelConfig& config) {
  std::vector<Item> items;
  for (std::size_t i = 0; i < list.size(); ++i) {
    Item item;
    item.name = text::StrCat("params.context.result[", i, "]");
    item.region = list[i].if_object();
    if (item.region == nullptr) return BadItem(item, "is not an object");
    if (IsOwnAnswer(*item.region)) continue;
    // Choices, texts and the like are no prompts; neither are the labels of a plain <Rectangle>,
    // which belong to the shape's own item (LabelsOf).
    if (!IsShapeType(TextField(*item.region, "type"))) continue;
    const json::value* value = item.region->if_contains("value");
    item.value = value == nullptr ? nullptr : value->if_object();
    if (item.value == nullptr) return BadItem(item, "has no object 'value'");
    const std::string_view from_name = TextField(*item.region, "from_name");
    const std::string_view to_name = TextField(*item.region, "to_name");
    for (const Control& control : config.controls) {
      if (control.name == from_name && (to_name.empty() || control.to_name == to_name)) {
        item.control = &control;
        break;
      }
    }
    if (item.control == nullptr) {
      return BadItem(item, text::StrCat("was drawn with the control '", from_name, "' on '",
                                        to_name, "', which the label config doesn't have"));
    }
    const std::optional<double> index = FiniteNumber(item.region->if_contains("item_index"));
    item.item_index = static_cast<int>(std::clamp(index.value_or(-1), -1.0, 1e6));
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace

absl::StatusOr<InteractivePrompt> ParseContext(const json::value& context,
                                               const LabelConfig& config,
                                               const ContextLimits& limits) {
  const json::object* object = context.if_object();
  const json::value* result = object == nullptr ? nullptr : object->if_contains("result");
  const json::array* list = result == nullptr ? nullptr : result->if_array();
  if (list == nullptr) {
    return absl::InvalidArgumentError("'params.context' has no list 'result'");
  }
  if (list->size() > limits.max_items) {
    return absl::InvalidArgumentError(text::StrCat("'params.context.result' has ", list->size(),
                                                   " entries; at most ", limits.max_items));
  }
  absl::StatusOr<std::vector<Item>> items = Prompts(*list, config);
  if (!items.ok()) return items.status();
  if (items->empty()) {
    return absl::InvalidArgumentError(
        "'params.context.result' has no prompt; draw a point or a rectangle with a smart tool");
  }

  const Item& last = items->back();
  InteractivePrompt prompt;
  absl::StatusOr<vision::Size> size = OriginalSize(last);
  if (!size.ok()) return size.status();
  prompt.size = *size;
  absl::StatusOr<std::vector<std::string>> labels = LabelsOf(last, *list, limits.max_labels);
  if (!labels.ok()) return labels.status();
  prompt.labels = *std::move(labels);
  prompt.from_name = last.control->name;
  prompt.to_name = last.control->to_name;
  prompt.item_index = last.item_index;
  const int rotation = static_cast<int>(
      std::fmod(FiniteNumber(last.region->if_contains("image_rotation")).value_or(0), 360.0));
  prompt.image_rotation = (rotation + 360) % 360;
  for (const Item& item : *items) {
    // Prompts on another image of the task are other objects.
    if (item.control->to_name != prompt.to_name || item.item_index != prompt.item_index) continue;
    prompt.has_rectangle = prompt.has_rectangle || item.control->kind == RegionKind::kRectangle;
    absl::Status status = InfoOf(item.control->kind).read_prompt(item, &prompt);
    if (!status.ok()) return status;
    if (prompt.points.size() > limits.max_points) {
      return BadItem(item, text::StrCat("is a point too many; at most ", limits.max_points));
    }
  }
  if (prompt.mask && !prompt.box) prompt.box = vision::TightBox(*prompt.mask);
  if (prompt.points.empty() && !prompt.box && !prompt.mask) {
    return BadItem(last, "is empty or lies outside the image");
  }
  return prompt;
}

bool InteractivePrompt::selects_something() const {
  return box || mask || std::any_of(points.begin(), points.end(), [](const PromptPoint& point) {
           return point.positive;
         });
}

InteractivePrompt Rescale(InteractivePrompt prompt, vision::Size size) {
  if (size == prompt.size) return prompt;
  const float scale_x = static_cast<float>(size.width) / static_cast<float>(prompt.size.width);
  const float scale_y = static_cast<float>(size.height) / static_cast<float>(prompt.size.height);
  for (PromptPoint& point : prompt.points) {
    point.at = {point.at.x * scale_x, point.at.y * scale_y};
  }
  if (prompt.box) {
    prompt.box = vision::Box{prompt.box->x_min * scale_x, prompt.box->y_min * scale_y,
                             prompt.box->x_max * scale_x, prompt.box->y_max * scale_y};
  }
  prompt.mask.reset();
  prompt.size = size;
  return prompt;
}

std::vector<float> MaskPromptLogits(const vision::Mask& mask, int side) {
  // A confident value within the range of SAM's own low-res logits, which are clamped to ±32.
  constexpr float kInside = 10;
  std::vector<float> logits(static_cast<std::size_t>(side) * side, -kInside);
  const double step =
      static_cast<double>(std::max(mask.size.width, mask.size.height)) / side;  // pixels a cell
  // Cells are sampled at their centres; spans of the sampled rows fill theirs.
  int row = 0;
  for (const vision::Span& span : mask.spans) {
    while (row < side && static_cast<int>((row + 0.5) * step) < span.y) ++row;
    if (row == side) break;
    if (static_cast<int>((row + 0.5) * step) != span.y) continue;
    // The cells whose centre (column + 0.5) * step lies in the span. An image smaller than the
    // grid has several rows of cells in one row of pixels.
    const int begin = std::max(0, static_cast<int>(std::ceil(span.x_begin / step - 0.5)));
    const int end = std::min(side, static_cast<int>(std::ceil(span.x_end / step - 0.5)));
    for (int y = row; y < side && static_cast<int>((y + 0.5) * step) == span.y; ++y) {
      std::fill_n(logits.begin() + static_cast<std::ptrdiff_t>(y) * side + begin,
                  std::max(0, end - begin), kInside);
    }
  }
  return logits;
}

}  // namespace label_studio
