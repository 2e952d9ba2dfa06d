// The command line of duet-segmenter.
#ifndef DUET_SEGMENTER_SERVICE_RPC_OPTIONS_H_
#define DUET_SEGMENTER_SERVICE_RPC_OPTIONS_H_

#include <string>

#include "model_service/common_options.h"
#include "segmenter_service/inference/segmenter.h"
#include "serving/flags.h"

namespace segmenter {

struct Options {
  model_service::CommonOptions common{
      .queue_size = 64, .max_image_mb = 64, .server = {.port = 50052, .metrics_port = 9102}};
  bool hq_token_only = false;
  int embedding_cache_mb = 512;
  std::string embedding_precision = "fp32";
  std::string embedding_store;
  int embedding_store_ttl_s = 24 * 60 * 60;
  int embedding_store_mb = 20'000;

  // `threads`: that the network will compute with.
  NetworkOptions network_options(int threads) const;
  SegmenterOptions engine_options() const;
};

void AddFlags(Options* options, serving::FlagTable* flags);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_RPC_OPTIONS_H_
