// The command line of duet-detector.
#ifndef DUET_DETECTOR_SERVICE_RPC_OPTIONS_H_
#define DUET_DETECTOR_SERVICE_RPC_OPTIONS_H_

#include <cstdint>
#include <string>

#include "detector_service/inference/detection_model.h"
#include "serving/flags.h"
#include "serving/grpc_server.h"
#include "serving/process.h"
#include "vision/image_codec.h"

namespace detector {

struct Options {
  std::string checkpoint;
  std::string config_file;
  std::string device = "cpu";
  std::string precision = "fp32";
  bool plain = false;
  int threads = 0;
  double score_threshold = 0.5;
  int max_detections = 0;         // 0: the model config's
  double nms_iou_threshold = -1;  // negative: the model config's
  int input_size = 0;             // 0: the model config's
  int queue_size = 32;
  std::string image_root;
  int max_megapixels = 100;
  bool enable_reload = false;
  std::string model_root;
  serving::GrpcServerOptions server{.port = 50051, .metrics_port = 9101};
  serving::ProcessOptions process;

  LoadOptions load_options() const;
  vision::ImageLimits image_limits() const;
};

void AddFlags(Options* options, serving::FlagTable* flags);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RPC_OPTIONS_H_
