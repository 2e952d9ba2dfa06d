// EmissionPlan: what a batch writes for one image of a label config.
//
// For each kind of region that is written, a class of the model goes to the first control of that
// kind, in document order and not smart, that has a label for it. Which kinds are written is the
// setting `outputs`, or follows from the config (AutoOutput in region_kind.h): a kind counts if a
// class of the model can go to a control of it.
//
// A control without any labels (a bare <Rectangle>) takes what has a label elsewhere on the image,
// or everything if nothing on the image has labels. It comes after the controls that have the
// label.
#ifndef DUET_LABEL_STUDIO_EMISSION_PLAN_H_
#define DUET_LABEL_STUDIO_EMISSION_PLAN_H_

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "label_studio/label_config.h"
#include "label_studio/label_matcher.h"
#include "label_studio/region_kind.h"

namespace label_studio {

// Which kinds of region a batch writes: the setting `outputs`, e.g. "rectangle,brush". Empty: what
// the label config suggests.
struct Outputs {
  std::vector<RegionKind> kinds;
};
// "" or "auto" is the empty choice. InvalidArgument names the unknown word and lists the known
// ones.
absl::StatusOr<Outputs> ParseOutputs(std::string_view text);

class EmissionPlan {
 public:
  // Where the objects of one class go.
  struct Target {
    const Control* control = nullptr;
    // Null for a bare control.
    const LabelGroup* group = nullptr;
    const Label* label = nullptr;
  };

  struct Options {
    Outputs outputs = {};
    LabelMap label_map = {};
    // False if nothing makes masks: the kinds that are made of masks only are left out then.
    bool masks_available = true;
  };

  // `config`, `image`, which is one of its images, and `classes`, the model's, outlive the plan.
  static EmissionPlan Make(const LabelConfig& config, const ImageTag& image,
                           const std::vector<std::string>& classes, const Options& options);

  // In the order of writing; empty for a class without a label.
  absl::Span<const Target> TargetsOf(std::string_view class_name) const;

  // True if the label config has something for regions of this kind, of those that are wanted:
  // then they are written, unless they need masks and these aren't available.
  bool CanTake(RegionKind kind) const {
    return std::find(kinds_.begin(), kinds_.end(), kind) != kinds_.end();
  }
  // True if nothing is ever written: all controls are smart, say.
  bool empty() const { return targets_.empty() && !depends_on_task_; }
  // True if any region is made of masks: then the detector's masks or the segmenter are needed.
  bool needs_masks() const { return needs_masks_; }
  // True if regions are left out because masks aren't available.
  bool lacks_masks() const { return lacks_masks_; }
  // True if the controls of the image, smart ones included, have labels, but none for any class.
  bool matches_no_class() const { return matches_no_class_; }

  // A text that is equal for two plans if they read the same images and write the same regions. The
  // label config's layout, and labels that no class has, change nothing. For a config that depends
  // on the task, it also says which of its controls take labels from the task.
  std::string Describe() const;

  const ImageTag& image() const { return *image_; }

 private:
  class Maker;
  struct Range {
    std::uint32_t begin = 0;
    std::uint32_t count = 0;
  };

  const ImageTag* image_ = nullptr;
  const std::vector<std::string>* classes_ = nullptr;
  absl::flat_hash_map<std::string_view, Range> of_class_;  // into targets_
  std::vector<RegionKind> kinds_;
  std::vector<Target> targets_;
  // The controls whose labels only a task knows (LabelGroup::from_task), of the kinds written.
  std::vector<Target> from_task_;
  bool depends_on_task_ = false;
  bool needs_masks_ = false;
  bool lacks_masks_ = false;
  bool matches_no_class_ = false;
};

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_EMISSION_PLAN_H_
