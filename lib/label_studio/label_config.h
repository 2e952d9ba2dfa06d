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
#include <utility>
#include <vector>

#include "label_studio/region_kind.h"

namespace label_studio {

struct Label {
  std::string value;                          // what goes into regions
  std::string alias;                          // "" if none
  std::vector<std::string> predicted_values;  // attribute predicted_values="a,b"
};

// An immutable list of labels; copies share it.
class LabelList {
 public:
  LabelList() = default;
  LabelList(std::vector<Label> labels)  // NOLINT: a vector is a list
      : labels_(std::make_shared<const std::vector<Label>>(std::move(labels))) {}

  const Label* begin() const { return labels_ == nullptr ? nullptr : labels_->data(); }
  const Label* end() const { return begin() + size(); }
  std::size_t size() const { return labels_ == nullptr ? 0 : labels_->size(); }
  bool empty() const { return size() == 0; }
  const Label& operator[](std::size_t i) const { return (*labels_)[i]; }

 private:
  std::shared_ptr<const std::vector<Label>> labels_;
};

// One control tag that draws regions on an image, e.g. <BrushLabels name="brush" toName="image">.
struct Control {
  RegionKind kind = RegionKind::kRectangle;
  std::string name;     // a region's from_name
  std::string to_name;  // the Image tag's name
  std::string type;     // a region's type: the lower-cased tag, e.g. "brushlabels" or "brush"
  bool smart = false;   // smart="true": prompts are drawn with it, batches write nothing into it
  bool smart_only = false;
  // Of the control itself, or of the <Labels> beside it if the tag is a plain <Rectangle>, <Brush>,
  // ...
  LabelList labels;
  // Plain tags only: the name of the <Labels> tag of the same image. Their regions are written as
  // two results of one id: the shape, and the labels.
  std::string labels_name;
};

struct ImageTag {
  std::string name;
  std::string value;  // as written: "$image", "$data.front[0]", "https://host/$file"
  // valueList: the task's field holds a list of images; regions carry `item_index`.
  bool is_list = false;
};

struct LabelConfig {
  std::vector<ImageTag> images;   // at least one, in document order
  std::vector<Control> controls;  // at least one, in document order; each to_name names an image

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

// The URIs of a task's images for one tag: one, or several for a list; `$name.path[0]` is looked up
// in the task's `data`, text around it is kept. InvalidArgument, naming tag and field, if the field
// is missing, empty or not text.
absl::StatusOr<std::vector<std::string>> ImageUris(const ImageTag& image,
                                                   const boost::json::object& data);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_LABEL_CONFIG_H_
