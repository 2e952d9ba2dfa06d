// The kinds of region, in one table: how each is called, when a batch writes it, how it is made of
// a mask, and how it is read as a prompt. A new kind is an enumerator here and a row in the .cc.
#ifndef DUET_LABEL_STUDIO_REGION_KIND_H_
#define DUET_LABEL_STUDIO_REGION_KIND_H_

#include <absl/status/status.h>
#include <absl/types/span.h>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "vision/geometry.h"
#include "vision/mask.h"
#include "vision/rotated_box.h"

namespace label_studio {

struct InteractivePrompt;

enum class RegionKind { kRectangle, kBrush, kPolygon, kEllipse, kKeyPoint };
inline constexpr std::size_t kRegionKindCount = 5;

// Takes the regions that a kind makes of one object.
class RegionSink {
 public:
  virtual ~RegionSink() = default;
  // Begins a region. The caller appends the fields of its `value`, without the labels and with a
  // comma after each, to the text that is returned, and then calls End.
  virtual std::string* Begin() = 0;
  virtual void End() = 0;
};

// An entry of an interactive request's context.result.
struct PromptItem {
  std::string name;  // "params.context.result[2]", for errors
  const boost::json::object* region = nullptr;
  const boost::json::object* value = nullptr;  // region["value"]
};
// InvalidArgument that names the item.
absl::Status BadItem(const PromptItem& item, std::string_view what);

// When a batch whose setting `outputs` is "auto" writes a kind.
enum class AutoOutput {
  kAlways,         // wherever the label config has a control for it
  kOneOf,          // the first of these that the label config has a control for
  kIfNothingElse,  // all of these, if none of the above found a control
};

struct RegionKindInfo {
  RegionKind kind;
  // In region types ("brush", "brushlabels") and in the setting `outputs`; the tag in lower case.
  std::string_view name;
  // The tag without labels of its own. With them it is "BrushLabels".
  std::string_view tag;
  AutoOutput auto_output;
  // The answer to a smart tool goes to the kind with the lowest number. Nothing: a kind that can't
  // hold a mask.
  std::optional<int> answer_order;

  // Writes `mask` as regions (several polygons, say), or none if it is degenerate.
  void (*write_mask)(const vision::Mask& mask, RegionSink& sink);
  // Writes a detection without needing a mask, in percent of an image of `size`; none if it is
  // degenerate. Null: the kind is made of masks only.
  void (*write_box)(const vision::Box& box, const std::optional<vision::RotatedBox>& rotated_box,
                    vision::Size size, RegionSink& sink);
  // Adds the item to the prompt, whose `size` is set. InvalidArgument names the item and field.
  absl::Status (*read_prompt)(const PromptItem& item, InteractivePrompt* prompt);
};

// All kinds, in the enum's order.
absl::Span<const RegionKindInfo> RegionKinds();
const RegionKindInfo& InfoOf(RegionKind kind);

// Those that can hold the answer to a smart tool, the preferred ones first.
absl::Span<const RegionKindInfo> AnswerKinds();

// "RectangleLabels, BrushLabels or KeyPointLabels", for errors.
std::string TagsOf(absl::Span<const RegionKindInfo> kinds);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_REGION_KIND_H_
