// The network as inference sees it: normalised input in, raw output out, whatever computes it.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_NETWORK_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_NETWORK_H_

#include <absl/status/status.h>

#include "detector_service/inference/raw_output.h"
#include "vision/geometry.h"

namespace detector {

// Not thread-safe: one caller at a time, with the threads that nn::UseThreads gave it.
class Network {
 public:
  virtual ~Network() = default;

  // `input`: [3, H, W] floats of `size`. `output` points into memory of the network, which is valid
  // until the next Run.
  virtual absl::Status Run(const float* input, vision::Size size, RawOutput* output) = 0;
};

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_NETWORK_H_
