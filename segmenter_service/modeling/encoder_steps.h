// An image encoder as a sequence of steps, so that a server can do something between them: decode a
// click's prompt, or stop. The plain encoders and their packed forms have this interface in common.
#ifndef DUET_SEGMENTER_SERVICE_MODELING_ENCODER_STEPS_H_
#define DUET_SEGMENTER_SERVICE_MODELING_ENCODER_STEPS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace segmenter {

struct EncodedImage {
  at::Tensor embedding;  // [B, C, grid, grid]
  // What some mask decoders read besides (MaskDecoder::HighResFeatures), finest first, [B, C', H,
  // W]. HQ-SAM: one early feature map. SAM 2: the two finest levels of its pyramid.
  std::vector<at::Tensor> levels;
  // What HighResFeatures makes of them, if the encoder did that too; then there are no `levels`.
  std::vector<at::Tensor> high_res;
};

// A step calls it between pieces of some 20 ms, since a block may take half a second. It may run
// other work, but none of this encoder's.
using Pause = std::function<void()>;

// Between two calls anything may happen, even calls for another image: all state is in the tensors.
class EncoderSteps {
 public:
  virtual ~EncoderSteps() = default;

  virtual std::int64_t step_count() const = 0;
  // [B, 3, S, S], normalised, to the tokens that the steps work on, in a layout of their own.
  virtual at::Tensor Begin(const at::Tensor& input) = 0;
  // Runs step `index`, 0 <= index < step_count(), in order; may work in place. Appends to `levels`,
  // which is null if neither the decoder nor Finish reads them. `pause` may be null; plain encoders
  // don't call it.
  virtual at::Tensor Step(std::int64_t index, const at::Tensor& tokens,
                          std::vector<at::Tensor>* levels, const Pause& pause = nullptr) = 0;
  virtual EncodedImage Finish(const at::Tensor& tokens, std::vector<at::Tensor> levels) = 0;

  // All steps, one after the other.
  EncodedImage Encode(const at::Tensor& input) {
    std::vector<at::Tensor> levels;
    at::Tensor tokens = Begin(input);
    for (std::int64_t i = 0; i < step_count(); ++i) tokens = Step(i, tokens, &levels);
    return Finish(tokens, std::move(levels));
  }
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_MODELING_ENCODER_STEPS_H_
