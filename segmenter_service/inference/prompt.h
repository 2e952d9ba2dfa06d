// A prompt: any mix of points, a box and an earlier mask. Knows no Torch and no proto.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_PROMPT_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_PROMPT_H_

#include <absl/status/status.h>

#include <optional>
#include <vector>

#include "segmenter_service/inference/preprocess.h"
#include "vision/geometry.h"

namespace segmenter {

struct PromptPoint {
  vision::Point at;
  int label = 1;  // 1 foreground, 0 background, -1 ignored
  friend bool operator==(const PromptPoint&, const PromptPoint&) = default;
};

// Prompts one object. Its coordinates are original pixels for CheckPrompt and ToInput, and pixels
// of the network's input for SamNetwork.
struct Prompt {
  std::vector<PromptPoint> points;
  std::optional<vision::Box> box;
  // Low-res logits of an earlier result, row-major; empty: none.
  std::vector<float> mask_logits;
};

// InvalidArgument, in words that follow "prompts[3]: ", if the prompt is empty, or a point lies
// outside the image (its right and lower edge included), or its label is unknown, or the box
// doesn't touch the image, or the mask has not `low_res_size`^2 values, or a number isn't finite.
// `image`, points and box are in original pixels.
absl::Status CheckPrompt(const Prompt& prompt, vision::Size image, int low_res_size);

// Original to input pixels. Boxes are cut to the image first.
Prompt ToInput(const Prompt& prompt, const InputGeometry& geometry);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_PROMPT_H_
