// Runs the plain modules by LibTorch: on CUDA, and wherever the packed form is compared with them.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_PLAIN_NETWORK_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_PLAIN_NETWORK_H_

#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "detector_service/families/family.h"
#include "detector_service/inference/network.h"

namespace detector {

// `device`: "cpu" or "cuda[:N]"; FailedPrecondition if this LibTorch or machine has no such device.
absl::StatusOr<std::unique_ptr<Network>> MakePlainNetwork(const DetectorModules& modules,
                                                          const std::string& device);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_PLAIN_NETWORK_H_
