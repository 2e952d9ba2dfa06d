// A checkpoint that is loaded and can answer, and what is told about it.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_SERVED_MODEL_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_SERVED_MODEL_H_

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "segmenter_service/inference/sam_network.h"

namespace segmenter {

struct ServedModel {
  std::string path;
  std::string root;  // as LoadModel was given it
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
// is needed. `root`: where both must lie when they are opened, for a path that a client named
// (serving/file_access.h); "": anywhere.
absl::StatusOr<std::shared_ptr<const ServedModel>> LoadModel(const std::string& path,
                                                             const NetworkOptions& options,
                                                             const std::string& root = "");

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_SERVED_MODEL_H_
