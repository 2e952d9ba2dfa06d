// The context of an interactive /predict: what the annotator has drawn with smart tools on one
// image, as one prompt for the segmenter.
//
// All prompts of a context are one object: points (positive unless `is_positive` is false), a
// rectangle (a rotated one becomes the box around its corners; of several the last counts), an
// ellipse or polygon (their box), a brush stroke (its mask). The model's own earlier answers
// (`origin` "prediction" without `is_positive`) are skipped. The last prompt decides labels and
// image.
#ifndef DUET_LABEL_STUDIO_CONTEXT_H_
#define DUET_LABEL_STUDIO_CONTEXT_H_

#include <absl/status/statusor.h>

#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <vector>

#include "label_studio/label_config.h"
#include "vision/geometry.h"
#include "vision/mask.h"

namespace label_studio {

struct PromptPoint {
  vision::Point at;
  bool positive = true;
};

// Frame: pixels of an image of `size`, upright.
struct InteractivePrompt {
  vision::Size size;  // what the editor says (original_width, original_height)
  std::vector<PromptPoint> points;
  std::optional<vision::Box> box;  // clipped to the image
  std::optional<vision::Mask> mask;
  bool has_rectangle = false;  // one of the prompts is a rectangle
  // Of the last prompt, as its control spells them; empty if none was chosen, several with
  // choice="multiple" or with several <Labels>.
  std::vector<std::string> labels;
  std::string from_name;  // the control that the last prompt was drawn with
  std::string to_name;    // the Image tag
  int item_index = -1;    // which image of a list tag; -1: the tag has just one
  // Degrees clockwise by which the annotator has rotated the view. Label Studio rotates the view
  // only: percentages stay those of the image as it is, so answers just repeat the number.
  int image_rotation = 0;

  // False if it says only what the object is not: then there is none.
  bool selects_something() const;
};

struct ContextLimits {
  std::size_t max_items = 10'000;  // the model's own regions included
  std::size_t max_points = 1'000;
  std::size_t max_labels = 100;  // of the last prompt
};

// InvalidArgument, naming the item and field, if the context has no prompt or a damaged one, or one
// on a control or image that `config` lacks.
absl::StatusOr<InteractivePrompt> ParseContext(const boost::json::value& context,
                                               const LabelConfig& config,
                                               const ContextLimits& limits = {});

// The same prompt for an image of another size (the editor may have measured another one). A mask
// is dropped if the size differs.
InteractivePrompt Rescale(InteractivePrompt prompt, vision::Size size);

// A mask prompt as the segmenter takes it: side × side logits, row-major, of the image scaled by
// its longest side to the top-left corner. Use it along with `box`: a mask alone is a weak prompt.
std::vector<float> MaskPromptLogits(const vision::Mask& mask, int side);

}  // namespace label_studio

#endif  // DUET_LABEL_STUDIO_CONTEXT_H_
