// Runs the plain modules by LibTorch: the way for CUDA, and the yardstick for faster forms.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_PLAIN_NETWORK_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_PLAIN_NETWORK_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "detector_service/inference/network.h"
#include "detector_service/model/detector.h"

namespace detector {

// `device`: "cpu" or "cuda[:N]"; FailedPrecondition if this LibTorch or machine has no such device.
absl::StatusOr<std::unique_ptr<Network>> MakePlainNetwork(Rtmdet model, const std::string& device);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_PLAIN_NETWORK_H_
