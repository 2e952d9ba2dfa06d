// What serves a Segment Anything network: pictures to embeddings, embeddings and prompts to low-res
// masks. Two kinds are behind it: the plain modules (any device) and the packed form for CPUs. No
// Torch in this header: callers hand over plain memory, and Torch's exceptions end behind it.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_SAM_NETWORK_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_SAM_NETWORK_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "segmenter_service/inference/prompt.h"
#include "segmenter_service/modeling/sam_config.h"

namespace segmenter {

// Answers to a batch of prompts, all at once, in one row a prompt.
struct LowResMasks {
  int masks_per_prompt = 0;       // 1, or 3 for multimask_output
  int size = 0;                   // side of a mask
  std::vector<float> logits;      // [prompts, masks, size, size]; the mask is where > 0
  std::vector<float> iou_scores;  // [prompts, masks]; the model's own estimate, may exceed 1

  absl::Span<const float> Logits(std::size_t prompt, int mask) const {
    const std::size_t area = static_cast<std::size_t>(size) * size;
    return absl::MakeConstSpan(logits).subspan((prompt * masks_per_prompt + mask) * area, area);
  }
  float IouScore(std::size_t prompt, int mask) const {
    return iou_scores[prompt * masks_per_prompt + mask];
  }
};

// Called by long work between its steps, on the same thread. May run other, more urgent work on
// this network. Anything but OK ends the work, which returns it.
using Yield = std::function<absl::Status()>;

// One thread computes at a time, apart from what Yield runs in between.
class SamNetwork {
 public:
  virtual ~SamNetwork() = default;

  virtual const SamConfig& config() const = 0;

  // `input` as NormalizeAndPad wrote it; returns the embedding, [C, grid, grid].
  virtual absl::StatusOr<std::vector<float>> EncodeImage(absl::Span<const float> input,
                                                         const Yield& yield) = 0;

  // `prompts` in the input's frame (ToInput), not empty. `embedding` as EncodeImage returned it.
  virtual absl::StatusOr<LowResMasks> DecodeMasks(absl::Span<const float> embedding,
                                                  absl::Span<const Prompt> prompts,
                                                  bool multimask_output) = 0;

  // Runs one encoder block and a decoder pass, so that the first request doesn't pay for first use.
  // From now on the calling thread computes with `threads` threads (0: as many as there are cores);
  // so it must be the one that makes the other calls.
  virtual absl::Status WarmUp(int threads) = 0;
};

struct NetworkOptions {
  std::string device = "cpu";      // or "cuda:N"
  std::string precision = "fp32";  // or "bf16": the encoder's products, on CPUs that have it
  int threads = 0;  // that the network will compute with; 0: as many as there are cores
};

// Takes the weights over. InvalidArgument or FailedPrecondition (of InferConfig and of loading),
// the message saying what was found and what is needed, without the file's path.
absl::StatusOr<std::unique_ptr<SamNetwork>> LoadNetwork(const checkpoint::StateDict& state_dict,
                                                        const NetworkOptions& options);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_SAM_NETWORK_H_
