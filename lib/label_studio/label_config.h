// A Label Studio labelling config (XML), reduced to what pre-labelling needs: which images a task
// has, which controls mark regions on them, and which labels each control has.
//
// Configs come from outside: size and depth are bounded, no DTD or entity is ever expanded. Unknown
// tags and attributes are ignored.
#ifndef DUET_LABEL_STUDIO_LABEL_CONFIG_H_
#define DUET_LABEL_STUDIO_LABEL_CONFIG_H_

#include <absl/status/statusor.h>

#include <boost/json/object.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "label_studio/region_kind.h"

namespace label_studio {

struct Label {
  std::string value;
  std::string alias;                          // "" if none
  std::vector<std::string> predicted_values;  // attribute predicted_values="a,b"

  // What goes into regions. The editor and its SDK write the alias if there is one.
  const std::string& written() const { return alias.empty() ? value : alias; }
};

// The labels of a <RectangleLabels>, <BrushLabels>, … or of a <Labels>. Immutable and shared,
// since a project may have a hundred thousand labels.
struct LabelGroup {
  std::string name;  // of a <Labels> tag; "" for a control's own labels
  std::vector<Label> labels;
  bool multiple = false;  // choice="multiple": a region may have several of the labels
  // value="$classes": the field of a task's data that has further labels, here "classes"; "" if
  // there is none, or if they are among `labels` already.
  std::string from_task;
};
using LabelGroupPtr = std::shared_ptr<const LabelGroup>;

// One control tag that draws regions on an image, e.g. <BrushLabels name="brush" toName="image">.
struct Control {
  RegionKind kind = RegionKind::kRectangle;
  std::string name;     // a region's from_name
  std::string to_name;  // the Image tag's name
  std::string type;     // a region's type: the lower-cased tag, e.g. "brushlabels" or "brush"
  bool smart = false;   // smart="true": prompts are drawn with it, batches write nothing into it
  bool smart_only = false;
  // Whether Label Studio has a smart tool for it whose prompts it sends: of key points and
  // rectangles also without smart="true", unless they say smart="false".
  bool takes_prompts = false;
  // True for <BrushLabels>, whose one group is its own; false for a plain <Brush>, whose groups are
  // the <Labels> of the same image, in document order. Regions of a plain one are written as
  // results of one id: the shape, and the labels of each group. Without any group they are bare.
  bool has_own_labels = false;
  std::vector<LabelGroupPtr> groups;

  bool bare() const { return groups.empty(); }
  // As it is spelled: "BrushLabels", or "Brush" beside <Labels>.
  std::string tag() const;
};

struct ImageTag {
  std::string name;
  std::string value;  // as written: "$image", "$data.front[0]", "https://host/$file"
  // valueList: the task's field holds a list of images; regions carry `item_index`.
  bool is_list = false;
};

struct LabelConfig {
  std::vector<ImageTag> images;   // in document order
  std::vector<Control> controls;  // in document order; each to_name names an image
  // True if a task's data decides about images, controls or labels: then this is what the config
  // is with one element in each list of a <Repeater>, and without the labels of `from_task`.
  bool depends_on_task = false;

  const ImageTag* FindImage(std::string_view name) const;
  // True if a smart tool may be used (on this image): then opening a task should embed its image.
  bool has_smart_control() const;
  bool has_smart_control(std::string_view image) const;

  // Bytes that it takes, about.
  std::size_t memory_bytes() const;
};

struct LabelConfigLimits {
  // The largest that one meets: two controls with the 21,841 classes of ImageNet-21k have 2.6 MB.
  std::size_t max_bytes = 4 << 20;
  int max_depth = 64;
  std::size_t max_controls = 1000;  // images and controls
  std::size_t max_labels = 100'000;
};

// InvalidArgument, saying what to do, if `xml` is not XML, has a document type, exceeds a limit,
// has no Image tag or no control of any region kind on an image.
absl::StatusOr<LabelConfig> ParseLabelConfig(std::string_view xml,
                                             const LabelConfigLimits& limits = {});

// The same for one task of a config that depends on it: each <Repeater> is written out, and the
// labels of `from_task` are there. A task whose lists are empty may have no image. Also
// InvalidArgument if the task's data lacks a repeater's list or has something else than labels.
absl::StatusOr<LabelConfig> ParseLabelConfig(std::string_view xml,
                                             const boost::json::object& task_data,
                                             const LabelConfigLimits& limits = {});

// The URIs of a task's images for one tag: one, or several for a list; `$name.path[0]` is looked up
// in the task's `data`, text around it is kept. InvalidArgument, naming tag and field, if the field
// is missing, empty or not text.
absl::StatusOr<std::vector<std::string>> ImageUris(const ImageTag& image,
                                                   const boost::json::object& data);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_LABEL_CONFIG_H_
