// Embeddings that are made before anybody clicks, and kept where they outlive the segmenter:
// whether a segmenter can, and how much room that takes.
#ifndef DUET_PRELABEL_KEPT_EMBEDDINGS_H_
#define DUET_PRELABEL_KEPT_EMBEDDINGS_H_

#include <absl/status/status.h>

#include <cstdint>
#include <string>

#include "backends/client.h"

namespace prelabel {

// FailedPrecondition, one sentence, for a segmenter whose embeddings end with it.
absl::Status CheckKeepsEmbeddings(const backends::SegmenterModel& model);

// "9000 images to embed: 18.1 GB, 2.1 MB each, in a store of 21.0 GB", and what is to be feared.
// `left`: of `images`, those that aren't embedded yet.
std::string EmbeddingSentence(const backends::SegmenterModel& model, std::uint64_t images,
                              std::uint64_t left);

}  // namespace prelabel

#endif  // DUET_PRELABEL_KEPT_EMBEDDINGS_H_
