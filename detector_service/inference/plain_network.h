// Runs the plain modules by LibTorch: the way for CUDA, and the yardstick for faster forms.
#ifndef DUET_DETECTOR_SERVICE_INFERENCE_PLAIN_NETWORK_H_
#define DUET_DETECTOR_SERVICE_INFERENCE_PLAIN_NETWORK_H_

#include <absl/status/statusor.h>
#include <c10/core/Device.h>

#include <memory>
#include <string>

#include "detector_service/inference/network.h"
#include "detector_service/model/detector.h"

namespace detector {

// `device`: "cpu" or "cuda[:N]"; FailedPrecondition if this LibTorch or machine has no such device.
absl::StatusOr<std::unique_ptr<Network>> MakePlainNetwork(Rtmdet model, const std::string& device);

// What every plain network does: put the modules onto the device, in eval mode, and the picture
// beside them, …
absl::StatusOr<c10::Device> MoveTo(const std::string& device, torch::nn::Module& modules);
at::Tensor PictureTensor(const float* input, vision::Size size, c10::Device device);
// … and bring results back: [1, C, H, W] on any device → [1, H, W, C] floats on the CPU.
at::Tensor ChannelsLast(const at::Tensor& map);

}  // namespace detector

#endif  // DUET_DETECTOR_SERVICE_INFERENCE_PLAIN_NETWORK_H_
