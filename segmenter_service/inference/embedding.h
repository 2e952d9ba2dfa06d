// The embedding of an image: the encoder computes it once, all prompts on the image read it. Knows
// no Torch.
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

// Which maps there are depends on the network; only the network that made them can read them. In
// official models:
//   SAM, MobileSAM  the embedding, [256, 64, 64]: 4 MiB in float32
//   HQ-SAM          also its decoder's map of early features, [32, 256, 256]: 12 MiB in all
//   SAM 2           also two high-resolution maps, [32, 256, 256], [64, 128, 128]: 16 MiB in all
struct Embedding {
  std::vector<FeatureMap> maps;

  std::size_t bytes() const {
    std::size_t sum = sizeof(*this);
    for (const FeatureMap& map : maps) sum += sizeof(map) + map.data.size();
    return sum;
  }
};

// All that is needed to answer prompts about an image. Immutable once shared.
struct ImageEmbedding {
  InputGeometry geometry;
  Embedding features;  // SamNetwork::EncodeImage's

  std::size_t bytes() const { return sizeof(geometry) + features.bytes(); }
};

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_H_
