// The byte format in which replicas share an embedding: a header that says what it is, then the
// maps' values (docs/formats.md). What is read is untrusted.
#ifndef DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_CODEC_H_
#define DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_CODEC_H_

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "segmenter_service/inference/embedding.h"
#include "segmenter_service/inference/sam_network.h"

namespace segmenter {

std::string EncodeEmbedding(const ImageEmbedding& embedding);
// How long that is for maps of these shapes.
std::size_t EncodedBytes(const std::vector<FeatureShape>& shapes);

// InvalidArgument unless `bytes` is an embedding of an image of at most `max_pixels`, its maps have
// exactly the shapes of `spec`, and all values are finite.
absl::StatusOr<ImageEmbedding> DecodeEmbedding(std::string_view bytes, const NetworkSpec& spec,
                                               std::int64_t max_pixels);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_INFERENCE_EMBEDDING_CODEC_H_
