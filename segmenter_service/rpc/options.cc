#include "segmenter_service/rpc/options.h"

#include <cstddef>

namespace segmenter {

NetworkOptions Options::network_options(int threads) const {
  return {.device = common.device.name,
          .precision = common.precision,
          .embedding_precision = embedding_precision,
          .threads = threads,
          .hq_token_only = hq_token_only};
}

SegmenterOptions Options::engine_options() const {
  return {.embedding_cache_bytes = static_cast<std::size_t>(embedding_cache_mb) << 20,
          .queue_capacity = common.queue_size,
          .image_limits = common.image_limits()};
}

void AddFlags(Options* options, serving::FlagTable* flags) {
  using serving::InRange;
  AddFlags(&options->common,
           "The weights: an official SAM, MobileSAM, HQ-SAM or SAM 2 file, one that training or "
           "Hugging Face's transformers saved, .pth or .safetensors; a FILE.json beside it tells "
           "what a custom one doesn't.",
           flags);
  flags->Add("hq_token_only", &options->hq_token_only,
             "HQ-SAM: answer with its high-quality mask alone instead of its sum with SAM's.");
  flags->Add(
      "embedding_cache_mb", &options->embedding_cache_mb,
      "Memory for embeddings of images seen, MiB; an image needs 4 with SAM and MobileSAM, 12 with "
      "HQ-SAM, 16 with SAM 2.",
      InRange(0, 1 << 20));
  flags->Add("embedding_precision", &options->embedding_precision,
             "What embeddings are kept in: fp32, or bf16 for half the memory and slightly other "
             "masks.",
             serving::OneOf({"fp32", "bf16"}));
  flags->Add("embedding_store", &options->embedding_store,
             "Where embeddings are kept that replicas share, or that outlive a restart; several in "
             "the order in which they are looked into, with commas. "
             "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] (a password is better given by the "
             "variable), or file:///FOLDER. Empty: each process has its own.");
  flags->Add("embedding_store_ttl_s", &options->embedding_store_ttl_s,
             "How long an embedding is kept in Redis, unless Redis runs out of memory before.",
             InRange(1, 365 * 24 * 60 * 60));
  flags->Add("embedding_store_mb", &options->embedding_store_mb,
             "What a folder of --embedding_store may take, MiB; above it the embeddings go that "
             "were used longest ago.",
             InRange(1, 1 << 30));
}

}  // namespace segmenter
