// What serves a network of the Segment Anything family: images to embeddings, embeddings and
// prompts to low-res masks. No Torch in this header: callers hand over plain memory, and Torch's
// exceptions end behind it.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_SAM_NETWORK_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_SAM_NETWORK_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "segmenter_service/inference/embedding.h"
#include "segmenter_service/inference/preprocess.h"
#include "segmenter_service/inference/prompt.h"

namespace segmenter {

// What users of a network need to know of it.
struct NetworkSpec {
  std::string name;      // "sam-vit-h", "mobile-sam", "sam-hq-vit-b", "sam2.1-hiera-tiny", ...
  int image_size = 0;    // side of the input, pixels
  int low_res_size = 0;  // side of the decoder's output and of mask prompts: 256 in official models
  Framing framing = Framing::kLongestSide;
  std::vector<FeatureShape> embedding;  // of the maps that EncodeImage returns
  std::string arithmetic = "fp32";  // of the encoder: nn::onednn::ArithmeticClass, what is computed
  std::vector<std::string> extra_tensors;  // names in the file that the network doesn't have
  std::string encoder_hash;  // hex, of all weights that EncodeImage's answer is made from
  // Weights of the encoder in its fast form, as float32; 0 if it has none.
  std::uint64_t packed_encoder_bytes = 0;
  // Whether another network that was loaded before had that fast form already: both use it.
  bool shares_encoder = false;
};

// The masks of a batch of prompts, one row a prompt.
struct LowResMasks {
  int masks_per_prompt = 0;       // 1, or 3 for multimask_output (HQ-SAM: always 1)
  int size = 0;                   // side of a mask
  std::vector<float> logits;      // [prompts, masks, size, size]; the mask is where > 0
  std::vector<float> iou_scores;  // [prompts, masks]; the model's own estimate, may exceed 1
  // Logits that are handed out, or come back as a mask prompt, are clamped to ± this, as upstream
  // does (SAM 2: 32); masks are made of the unclamped ones.
  float logit_limit = std::numeric_limits<float>::infinity();

  absl::Span<const float> Logits(std::size_t prompt, int mask) const {
    const std::size_t area = static_cast<std::size_t>(size) * size;
    return absl::MakeConstSpan(logits).subspan((prompt * masks_per_prompt + mask) * area, area);
  }
  std::vector<float> ClampedLogits(std::size_t prompt, int mask) const;
  // Makes room for so many prompts in all. REQUIRES: masks_per_prompt and size are set.
  void Reserve(std::size_t prompts);
  // Adds the rows of `more`, which is of the same network and multimask_output.
  void Append(const LowResMasks& more);
  float IouScore(std::size_t prompt, int mask) const {
    return iou_scores[prompt * masks_per_prompt + mask];
  }
};

// Long work calls this between its steps, on the same thread. It may run other, more urgent work on
// this network. Anything but OK ends the long work, which returns it.
using Yield = std::function<absl::Status()>;
// Long work calls this within a step, some 20 ms apart. It may only run DecodeMasks.
using Pause = std::function<void()>;

// One call at a time, apart from what Yield and Pause run in between.
class SamNetwork {
 public:
  virtual ~SamNetwork() = default;

  virtual const NetworkSpec& spec() const = 0;

  // `input` as NormalizeAndPad wrote it.
  virtual absl::StatusOr<Embedding> EncodeImage(absl::Span<const float> input, const Yield& yield,
                                                const Pause& pause = nullptr) = 0;

  // `prompts` in the input's frame (ToInput), not empty. `embedding` as EncodeImage returned it.
  virtual absl::StatusOr<LowResMasks> DecodeMasks(const Embedding& embedding,
                                                  absl::Span<const Prompt> prompts,
                                                  bool multimask_output) = 0;

  // Runs one encoder block and a decoder pass, so that the first request doesn't pay for first use.
  // From now on the calling thread computes with NetworkOptions::threads threads, so it must be the
  // one that makes the other calls.
  virtual absl::Status WarmUp() = 0;
};

// The packed encoders of the networks that were loaded with it. Networks of one encoder, as those
// are that were tuned from each other (docs/adr/0708), hold it once. Thread-safe; but the networks
// are then to be used by one thread at a time, all together.
class SharedEncoders;
std::shared_ptr<SharedEncoders> MakeSharedEncoders();

struct NetworkOptions {
  std::string device = "cpu";  // or "cuda:N"
  // Or "fp32-strict", which the process heeds (model_service/startup.h) and which is the same class
  // of arithmetic; or "bf16": the encoder's products may round to it, which they do on CPUs where
  // that is faster (nn/onednn/cpu.h).
  std::string precision = "fp32";
  std::string embedding_precision = "fp32";  // or "bf16": what embeddings are kept in, on any CPU
  int threads = 0;             // that the network computes with; 0: serving::ReadCpuBudget's
  bool hq_token_only = false;  // HQ-SAM: its high-quality mask alone, not its sum with SAM's
  std::shared_ptr<SharedEncoders> shared_encoders = nullptr;  // null: nothing is shared
};

// Takes the weights over; what runs packed keeps nothing of the file's memory. `sidecar`: the JSON
// text beside the checkpoint (modeling/sidecar.h), or empty. InvalidArgument or FailedPrecondition,
// the message saying what was found and what is needed, without the file's path.
absl::StatusOr<std::unique_ptr<SamNetwork>> LoadNetwork(const checkpoint::StateDict& state_dict,
                                                        const NetworkOptions& options,
                                                        absl::string_view sidecar = "");

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_SAM_NETWORK_H_
