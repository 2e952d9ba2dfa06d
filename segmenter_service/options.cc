#include "segmenter_service/options.h"

namespace segmenter {

SegmenterOptions Options::Engine() const {
  SegmenterOptions engine;
  engine.embedding_cache_bytes = static_cast<std::size_t>(embedding_cache_mb) << 20;
  engine.queue_capacity = queue_size;
  engine.threads = network.threads;
  engine.image_limits.max_bytes = std::int64_t{max_image_mb} << 20;
  engine.image_limits.max_pixels = std::int64_t{max_image_megapixels} * 1'000'000;
  return engine;
}

void AddFlags(Options* options, serving::FlagTable* flags) {
  using serving::InRange;
  flags->Required("checkpoint", &options->checkpoint,
                  "The weights: an official SAM, MobileSAM, HQ-SAM or SAM 2 file, or the same as "
                  ".safetensors; a FILE.json beside it tells what a custom one doesn't.");
  flags->Add("device", &options->network.device, "Where to compute: cpu, or cuda:N.");
  flags->Add("precision", &options->network.precision,
             "Arithmetic of the network: fp32; or bf16 allowed, used on CPUs where it is faster.",
             serving::OneOf({"fp32", "bf16"}));
  flags->Add("hq_token_only", &options->network.hq_token_only,
             "HQ-SAM: answer with its high-quality mask alone instead of its sum with SAM's.");
  flags->Add("threads", &options->network.threads,
             "Threads that compute; 0: as many as the process has CPUs.", InRange(0, 1024));
  flags->Add(
      "embedding_cache_mb", &options->embedding_cache_mb,
      "Memory for embeddings of pictures seen, MiB; a picture needs 4 with SAM and MobileSAM, "
      "12 with HQ-SAM, 16 with SAM 2.",
      InRange(0, 1 << 20));
  flags->Add("embedding_precision", &options->network.embedding_precision,
             "What embeddings are kept in: fp32, or bf16 for half the memory and slightly other "
             "masks.",
             serving::OneOf({"fp32", "bf16"}));
  flags->Add("embedding_store", &options->embedding_store,
             "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] where replicas share embeddings; a "
             "password is better given by the variable. Empty: each has its own.");
  flags->Add("embedding_store_ttl_s", &options->embedding_store_ttl_s,
             "How long a shared embedding is kept, unless Redis runs out of memory before.",
             InRange(1, 365 * 24 * 60 * 60));
  flags->Add("queue_size", &options->queue_size,
             "Work that may wait; beyond it calls are refused with RESOURCE_EXHAUSTED.",
             InRange(1, 1 << 16));
  flags->Add("max_image_mb", &options->max_image_mb, "Largest picture file, MiB.",
             InRange(1, 2000));
  flags->Add("max_image_megapixels", &options->max_image_megapixels,
             "Largest picture, millions of pixels; each takes 3 MB while it is decoded.",
             InRange(1, 1000));
  flags->Add("image_root", &options->service.image_root,
             "Requests may name files below this folder (file://); empty: none.");
  flags->Add("enable_reload", &options->service.enable_reload, "Allow ReloadModel.");
  flags->Add("model_root", &options->service.model_root,
             "Folder that ReloadModel's checkpoint paths are relative to.");
  serving::AddFlags(&options->server, flags);
  serving::AddFlags(&options->process, flags);
}

}  // namespace segmenter
