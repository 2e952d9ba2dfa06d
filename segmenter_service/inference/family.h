// The families of networks that are served as Segment Anything, and what each is made of. All of
// them are parts of modeling/ put together differently; what differs for a server is in
// FamilyModel.
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

struct FamilyModel {
  NetworkSpec spec;
  // All parameters and buffers, under the file's names, not loaded yet. The parts below are in it.
  std::shared_ptr<torch::nn::Module> weights;
  std::vector<std::string> unused_prefixes;  // names in official files that answer no prompt
  std::shared_ptr<EncoderSteps> encoder;
  PromptEncoder prompt_encoder{nullptr};
  MaskDecoder mask_decoder{nullptr};

  // Once loaded: the encoder's fast form for CPUs, for so many threads; Unimplemented if this CPU
  // is too old for it. Null if there is none.
  std::function<absl::StatusOr<std::shared_ptr<EncoderSteps>>(nn::onednn::Precision, int threads)>
      pack;

  std::vector<std::string> packed_prefixes;  // names that nobody reads once it is packed
  // Names that no embedding depends on. One that is missing here only makes embeddings be shared by
  // fewer models than they could.
  std::vector<std::string> decoder_prefixes;

  bool pads_boxes = false;  // a padding token follows every prompt, not only those without a box
  float logit_limit = std::numeric_limits<float>::infinity();  // LowResMasks'
};

struct FamilyOptions {
  bool hq_token_only = false;
  absl::string_view sidecar = "";  // JSON text, or empty
};

// Recognises the family by the names, reads the sizes from the shapes, and builds. InvalidArgument,
// saying what was found and what is needed, for a file that is none of them.
absl::StatusOr<FamilyModel> MakeModel(const checkpoint::StateDict& state_dict,
                                      const FamilyOptions& options);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_FAMILY_H_
