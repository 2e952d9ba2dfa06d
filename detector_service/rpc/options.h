// The command line of duet-detector.
#ifndef DUET_DETECTOR_SERVICE_RPC_OPTIONS_H_
#define DUET_DETECTOR_SERVICE_RPC_OPTIONS_H_

#include <absl/strings/string_view.h>

#include <optional>
#include <string>

#include "detector_service/inference/detection_model.h"
#include "model_service/common_options.h"
#include "serving/flags.h"

namespace detector {

// "640" (a square) or "640x352", multiples of 32; "0": the model config's.
struct InputSize {
  std::optional<vision::Size> size;
};
bool AbslParseFlag(absl::string_view text, InputSize* size, std::string* error);
std::string AbslUnparseFlag(const InputSize& size);

struct Options {
  model_service::CommonOptions common{.queue_size = 32,
                                      .server = {.port = 50051, .metrics_port = 9101}};
  std::string config_file;
  std::string classes;
  bool plain = false;
  double score_threshold = 0.5;
  int max_detections = 0;         // 0: the model config's
  double nms_iou_threshold = -1;  // negative: the model config's
  InputSize input_size;

  LoadOptions load_options() const;
};

void AddFlags(Options* options, serving::FlagTable* flags);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_RPC_OPTIONS_H_
