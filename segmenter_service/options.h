// What duet-segmenter's command line says.
#ifndef DUET_SEGMENTER_SERVICE_OPTIONS_H_
#define DUET_SEGMENTER_SERVICE_OPTIONS_H_

#include <string>

#include "segmenter_service/inference/segmenter.h"
#include "segmenter_service/rpc/segmenter_service.h"
#include "serving/flags.h"
#include "serving/grpc_server.h"
#include "serving/process.h"

namespace segmenter {

struct Options {
  Options() {
    server.port = 50052;
    server.metrics_port = 9102;
  }

  std::string checkpoint;
  NetworkOptions network;
  int embedding_cache_mb = 512;
  std::string embedding_store;
  int embedding_store_ttl_s = 24 * 60 * 60;
  int queue_size = 64;
  int max_image_mb = 64;
  int max_image_megapixels = 100;
  ServiceOptions service;
  serving::GrpcServerOptions server;
  serving::ProcessOptions process;

  // The engine's part.
  SegmenterOptions Engine() const;
};

void AddFlags(Options* options, serving::FlagTable* flags);

}  // namespace segmenter

#endif  // DUET_SEGMENTER_SERVICE_OPTIONS_H_
