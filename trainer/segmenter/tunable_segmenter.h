// A checkpoint of the Segment Anything family whose prompt encoder and mask decoder are tuned.
#ifndef DUET_TRAINER_SEGMENTER_TUNABLE_SEGMENTER_H_
#define DUET_TRAINER_SEGMENTER_TUNABLE_SEGMENTER_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "trainer/segmenter/prompted_decoder.h"

namespace trainer {

struct TunableSegmenter {
  // The file's tensors under the official names; they keep the file mapped.
  checkpoint::StateDict file;
  std::string sidecar;  // the JSON beside the checkpoint, or empty
  // What precedes "prompt_encoder." and "mask_decoder." in the names: "sam_" in SAM 2's files.
  std::string prefix;
  // The key of the file's dictionary that sam2 reads the weights from; empty for the other
  // families, whose files are the weights themselves.
  std::string wrapper_key;
  std::shared_ptr<PromptedDecoder> decoder;  // with the file's weights, float32
  std::vector<std::string> beside_encoder;   // what begins names that no embedding depends on
};

// Reads SAM, MobileSAM or SAM 2. Errors begin with the path: NotFound, or InvalidArgument if it is
// none of them, also for HQ-SAM, whose decoder is trained in another way.
absl::StatusOr<TunableSegmenter> LoadTunable(const std::string& path);

// Whether both make the same embeddings of an image, so that one is enough. Reads all weights of
// both encoders.
bool ShareEncoder(const TunableSegmenter& one, const TunableSegmenter& other);

// Writes the whole model with the decoder as it is now: what is tuned in float32, all other tensors
// as the source has them, under the official names, as segment_anything, mobile_sam and sam2 load
// it. The sidecar, if there is one, goes beside it.
absl::Status WriteTuned(const TunableSegmenter& segmenter, const std::string& path);

}  // namespace trainer

#endif  // DUET_TRAINER_SEGMENTER_TUNABLE_SEGMENTER_H_
