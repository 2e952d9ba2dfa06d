// A model that is loaded and can be used, and what clients are told about it.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_SERVED_MODEL_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_SERVED_MODEL_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "model_service/model_file.h"
#include "segmenter_service/inference/sam_network.h"

namespace segmenter {

struct ServedModel {
  model_service::ModelFile file;
  std::string name;  // "sam-vit-h"
  // Name, content hashes of the checkpoint and its sidecar, arithmetic, options: changes whenever
  // answers may.
  std::string version;
  // What embeddings are kept under: changes whenever an embedding may. Hash of the weights that it
  // is made from, input, arithmetic, sidecar; nothing that only the decoder reads.
  std::string encoder;
  std::uint64_t parameter_count = 0;
  NetworkOptions options;
  std::shared_ptr<SamNetwork> network;
};

// Reads and loads; doesn't warm up. A file of the checkpoint's name with ".json" behind it says
// what the checkpoint doesn't (modeling/sidecar.h). Errors name the path, what was found and what
// is needed.
absl::StatusOr<std::shared_ptr<const ServedModel>> LoadModel(const model_service::ModelFile& file,
                                                             const NetworkOptions& options);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_SERVED_MODEL_H_
