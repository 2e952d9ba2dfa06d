#include "label_studio/context.h"

#include <absl/status/status.h>
#include <absl/strings/match.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>

#include "label_studio/label_matcher.h"
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

std::string_view TextField(const json::object& object, std::string_view field) {
  const json::value* value = object.if_contains(field);
  const json::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

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

// The first of value.<type>, of value.labels, of value.<anything>labels.
std::string LabelOf(const Item& item) {
  const auto first = [](const json::value* value) -> std::string {
    const json::array* list = value == nullptr ? nullptr : value->if_array();
    if (list == nullptr || list->empty() || !list->front().is_string()) return "";
    return std::string(list->front().get_string());
  };
  std::string label = first(item.value->if_contains(item.control->type));
  if (label.empty()) label = first(item.value->if_contains("labels"));
  for (const auto& [field, value] : *item.value) {
    if (!label.empty()) break;
    if (absl::EndsWith(text::View(std::string_view(field)), "labels")) label = first(&value);
  }
  return label;
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
    // which the shape's own item repeats.
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
  prompt.label = LabelOf(last);
  prompt.from_name = last.control->name;
  prompt.to_name = last.control->to_name;
  prompt.item_index = last.item_index;
  const int rotation = static_cast<int>(
      std::fmod(FiniteNumber(last.region->if_contains("image_rotation")).value_or(0), 360.0));
  prompt.image_rotation = (rotation + 360) % 360;
  for (const Item& item : *items) {
    // Prompts on another image of the task are other objects.
    if (item.control->to_name != prompt.to_name || item.item_index != prompt.item_index) continue;
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

absl::StatusOr<AnswerTarget> ChooseAnswerTarget(const InteractivePrompt& prompt,
                                                const LabelConfig& config) {
  bool can_hold_mask = false;
  for (const bool smart : {false, true}) {
    for (const RegionKindInfo& info : AnswerKinds()) {
      for (const Control& control : config.controls) {
        if (control.to_name != prompt.to_name || control.kind != info.kind ||
            control.smart != smart) {
          continue;
        }
        can_hold_mask = true;
        if (prompt.label.empty() || control.labels.empty()) return AnswerTarget{&control, ""};
        if (const auto label = LabelMatcher(control, {}).Match(prompt.label)) {
          return AnswerTarget{&control, *label};
        }
      }
    }
  }
  if (!can_hold_mask) {
    return absl::FailedPreconditionError(
        text::StrCat("the label config has no control that can hold a mask; add <BrushLabels "
                     "name=\"brush\" toName=\"",
                     prompt.to_name, "\"> with the labels of '", prompt.from_name, "'"));
  }
  return absl::FailedPreconditionError(text::StrCat("no ", TagsOf(AnswerKinds()), " on '",
                                                    prompt.to_name, "' has the label '",
                                                    prompt.label, "'; add it to one of them"));
}

}  // namespace label_studio
