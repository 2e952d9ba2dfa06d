// What an image encoder makes of a picture, once, and all prompts on it read. Knows no Torch.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_H_

#include <absl/types/span.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "segmenter_service/inference/preprocess.h"

namespace segmenter {

// How a feature map's values are kept: bfloat16 is the upper half of float32, for half the memory.
enum class FeaturePrecision { kFloat32, kBFloat16 };

struct FeatureShape {
  std::int64_t channels = 0, height = 0, width = 0;
  FeaturePrecision precision = FeaturePrecision::kFloat32;

  std::size_t bytes() const {
    return static_cast<std::size_t>(channels * height * width) *
           (precision == FeaturePrecision::kFloat32 ? 4 : 2);
  }
  friend bool operator==(const FeatureShape&, const FeatureShape&) = default;
};

// [channels, height, width], row-major.
struct FeatureMap {
  FeatureShape shape;
  std::vector<std::byte> data;  // shape.bytes() many

  // REQUIRES: `shape` is of float32.
  absl::Span<const float> floats() const {
    return {reinterpret_cast<const float*>(data.data()), data.size() / sizeof(float)};
  }
};

// Which maps there are is the network's business; only the one that made it can read it.
//   SAM, MobileSAM  the embedding, [256, 64, 64] in official models: 4 MiB in float32
//   HQ-SAM          and its decoder's map of early features, [32, 256, 256]: 12 MiB in all
//   SAM 2           and two high-resolution maps, [32, 256, 256], [64, 128, 128]: 16 MiB in all
struct Embedding {
  std::vector<FeatureMap> maps;

  std::size_t bytes() const {
    std::size_t sum = sizeof(*this);
    for (const FeatureMap& map : maps) sum += sizeof(map) + map.data.size();
    return sum;
  }
};

// All that is needed to answer prompts about a picture. Immutable once shared.
struct ImageEmbedding {
  InputGeometry geometry;
  Embedding features;  // SamNetwork::EncodeImage's

  std::size_t bytes() const { return sizeof(geometry) + features.bytes(); }
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_H_
