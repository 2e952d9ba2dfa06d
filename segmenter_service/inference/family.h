// The families of networks that are served as Segment Anything, and what each is made of. All of
// them combine the same few parts of modeling/; what differs for a server is in ModelParts.
//
//   family               encoder            decoder
//   SAM                  ViT                SAM's
//   MobileSAM            TinyViT            SAM's
//   HQ-SAM               ViT or TinyViT     HQ-SAM's
//   SAM 2, SAM 2.1       Hiera and neck     SAM 2's
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_FAMILY_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_FAMILY_H_

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "nn/onednn/precision.h"
#include "segmenter_service/inference/sam_network.h"
#include "segmenter_service/modeling/encoder_steps.h"
#include "segmenter_service/modeling/mask_decoder.h"
#include "segmenter_service/modeling/prompt_encoder.h"

namespace segmenter {

struct ModelParts {
  NetworkSpec spec;
  // All parameters and buffers, under the file's names, not loaded yet. The parts below are in it.
  std::shared_ptr<torch::nn::Module> weights;
  std::vector<std::string> unused_prefixes;  // names in official files that no prompt needs
  std::shared_ptr<EncoderSteps> encoder;
  PromptEncoder prompt_encoder{nullptr};
  MaskDecoder mask_decoder{nullptr};

  // Makes the encoder's packed form for CPUs, to be run with so many threads, from the loaded
  // weights. Unimplemented if this CPU is too old for it. Null if the family has none.
  std::function<absl::StatusOr<std::shared_ptr<EncoderSteps>>(nn::onednn::Precision, int threads)>
      pack;

  std::vector<std::string> packed_prefixes;  // weights that are not read any more once packed
  // Weights that no embedding depends on. If one is missing here, fewer models share embeddings
  // than could.
  std::vector<std::string> decoder_prefixes;

  bool pads_boxes = false;  // a padding token follows every prompt, not only those without a box
  float logit_limit = std::numeric_limits<float>::infinity();  // LowResMasks'
};

struct FamilyOptions {
  bool hq_token_only = false;
  absl::string_view sidecar = "";  // JSON text, or empty
};

// Recognises the family by the tensors' names, reads the sizes from their shapes, and builds the
// modules. InvalidArgument, saying what was found and what is needed, if the file is of no family.
absl::StatusOr<ModelParts> MakeModel(const checkpoint::StateDict& state_dict,
                                     const FamilyOptions& options);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_FAMILY_H_
